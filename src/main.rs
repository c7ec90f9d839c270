//! The `kollect` binary: everything is in the library, see [`kollect::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    kollect::cli::main()
}
