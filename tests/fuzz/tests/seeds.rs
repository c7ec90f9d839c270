//! What the fuzz targets check, on the seeds in `corpus` and on mutations of them: the same ones in every run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use fastrand::Rng;

/// The greatest input. Most bounds that a text runs into lie below.
const LONGEST: usize = 16 << 10;

/// Panics of all threads: some that are started for an input do not take the one that waits for them along.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// One target at a time, so that a panic can be told to be its own.
static ALONE: Mutex<()> = Mutex::new(());

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        fs::read_dir(folder("corpus").join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The words of a dictionary: `"word"` on a line of its own, with `\\`, `\"` and `\xAB`.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("dictionaries").join(format!("{target}.dict"))).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let inner = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect(line);
            let mut bytes = inner.bytes();
            let mut word = Vec::new();
            while let Some(byte) = bytes.next() {
                word.push(match byte {
                    b'\\' => match bytes.next().expect(line) {
                        b'x' => {
                            let digits = [bytes.next().expect(line), bytes.next().expect(line)];
                            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).expect(line)
                        }
                        escaped => escaped,
                    },
                    byte => byte,
                });
            }
            word
        })
        .collect()
}

/// Changes an input as libFuzzer does: a few times, anywhere.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>], random: &mut Rng) {
    for _ in 0..=random.usize(..4) {
        let [a, b] = [random.usize(..=input.len()), random.usize(..=input.len())];
        let (begin, end) = (a.min(b), a.max(b).min(a.min(b) + 64));
        match random.u8(..7) {
            0 => drop(input.drain(begin..end)),
            1 => {
                let copy: Vec<u8> = input[begin..end].repeat(random.usize(1..8));
                input.splice(a..a, copy);
            }
            2 => input[begin..end].iter_mut().take(1).for_each(|byte| *byte = random.u8(..)),
            3 => input.insert(a, random.u8(b' '..=b'~')),
            4 => {
                drop(input.splice(begin..end, random.choice(seeds).unwrap().iter().copied().skip(a).take(64)))
            }
            _ => {
                let word = random.choice(words).unwrap();
                let gone = if random.bool() { begin..begin } else { begin..end };
                input.splice(gone, word.iter().copied());
            }
        }
    }
    input.truncate(LONGEST);
}

/// Checks the seeds of a target, and so many mutations of them.
fn holds(target: &str, check: fn(&[u8]), mutations: usize) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            hook(info);
        }));
    });
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (seeds, words) = (seeds(target), dictionary(target));
    let mut random = Rng::with_seed(1);
    let mutations: Vec<Vec<u8>> = (0..mutations)
        .map(|_| {
            let mut input = random.choice(&seeds).unwrap().clone();
            mutate(&mut input, &seeds, &words, &mut random);
            input
        })
        .collect();
    for input in seeds.iter().chain(&mutations) {
        let before = PANICS.load(Ordering::Relaxed);
        let result = panic::catch_unwind(AssertUnwindSafe(|| check(input)));
        assert!(
            result.is_ok() && PANICS.load(Ordering::Relaxed) == before,
            "{target}, see above: b\"{}\"",
            input.escape_ascii()
        );
    }
}

#[test]
fn what_holds_for_json_paths_holds_for_mutated_seeds() {
    holds("jsonpath", kollect_fuzz::jsonpath::check, 1_500);
}

#[test]
fn what_holds_for_cel_holds_for_mutated_seeds() {
    holds("cel", kollect_fuzz::cel::check, 500);
}

#[test]
fn what_holds_for_manifests_holds_for_mutated_seeds() {
    holds("manifests", kollect_fuzz::manifests::check, 250);
}

#[test]
fn what_holds_for_helm_releases_holds_for_mutated_seeds() {
    holds("helm", kollect_fuzz::helm::check, 1_000);
}
