//! The target `manifests`. Built without the fuzzer, it checks the inputs in the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| kollect_fuzz::manifests::check(input));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    kollect_fuzz::check_files(kollect_fuzz::manifests::check)
}
