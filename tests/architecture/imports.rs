//! Reads which modules a Rust source names, whether in `use` declarations or in paths.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What paths may start with, to be of interest here.
const ROOTS: [&str; 7] = ["crate", "super", "self", "kollect", "kollect_dataflows", "std", "core"];

/// One path that a source names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The path from the crate on: `crate`, `sinks`, `Row`. `super` and `self` are resolved.
    pub(crate) path: Vec<String>,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// What a source names outside its tests, and how long it is without them.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Every path.
    pub(crate) imports: Vec<Import>,
    /// Lines, without modules under `#[cfg(test)]`.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads the source of the module at `module` (`["sinks", "error"]`). Comments and strings do not count.
    pub(crate) fn read(text: &str, module: &[String]) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
        let mut source = Self { imports: Vec::new(), lines: text.lines().count() };
        source.walk(tokens, &mut module.to_vec());
        Ok(source)
    }

    fn walk(&mut self, tokens: TokenStream, module: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) if is_test_only(&tokens, at) => {
                    let first = group.span_open().start().line;
                    let (next, last) = after_item(&tokens, at + 1);
                    self.lines -= last.saturating_sub(first) + 1;
                    at = next;
                    continue;
                }
                TokenTree::Group(group) => match module_name(&tokens, at) {
                    Some(name) => {
                        module.push(name);
                        self.walk(group.stream(), module);
                        module.pop();
                    }
                    None => self.walk(group.stream(), module),
                },
                TokenTree::Ident(name)
                    if ROOTS.iter().any(|root| name == root) && begins_path(&tokens, at) =>
                {
                    self.path(&tokens, at, &mut Vec::new(), module);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Takes in the path that starts at `at`, and all branches if it is a tree.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &mut Vec<String>, module: &[String]) {
        let depth = prefix.len();
        while let Some(TokenTree::Ident(name)) = tokens.get(at) {
            prefix.push(name.to_string());
            if !is_path_separator(tokens, at + 1) {
                break;
            }
            at += 3;
        }
        if let Some(TokenTree::Group(group)) = tokens.get(at)
            && group.delimiter() == Delimiter::Brace
        {
            for branch in branches(group) {
                self.path(&branch, 0, prefix, module);
            }
        } else if let Some(token) = tokens.get(at) {
            let line = token.span().start().line;
            self.imports.push(Import { path: resolve(prefix, module), line });
        }
        prefix.truncate(depth);
    }
}

/// The path without `super` and `self`.
fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let relative = ups > 0 || path.first().is_some_and(|part| part == "self");
    if !relative {
        return path.to_vec();
    }
    let rest = path.iter().filter(|part| *part != "super" && *part != "self").cloned();
    let base = module.iter().take(module.len().saturating_sub(ups)).cloned();
    std::iter::once("crate".to_owned()).chain(base).chain(rest).collect()
}

/// The parts of a use tree's braces.
fn branches(group: &Group) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    tokens
        .split(|token| is_punct(token, ','))
        .map(<[TokenTree]>::to_vec)
        .filter(|branch| !branch.is_empty())
        .collect()
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at..at + 2).is_some_and(|pair| pair.iter().all(|token| is_punct(token, ':')))
}

/// Whether the word at `at` is the first of a path (and not, say, all of `pub(crate)`).
fn begins_path(tokens: &[TokenTree], at: usize) -> bool {
    is_path_separator(tokens, at + 1) && !(at >= 2 && is_path_separator(tokens, at - 2))
}

/// The name of the module whose braces stand at `at`.
fn module_name(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at.checked_sub(2)?..at)? {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword == "mod" => Some(name.to_string()),
        _ => None,
    }
}

/// Whether the brackets at `at` are those of `#[cfg(test)]`.
fn is_test_only(tokens: &[TokenTree], at: usize) -> bool {
    let TokenTree::Group(group) = &tokens[at] else { return false };
    at > 0
        && is_punct(&tokens[at - 1], '#')
        && group.delimiter() == Delimiter::Bracket
        && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Where the item that starts at `at` is over, and its last line.
fn after_item(tokens: &[TokenTree], mut at: usize) -> (usize, usize) {
    let mut line = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        line = token.span().end().line;
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            token if is_punct(token, ';') => break,
            _ => {}
        }
    }
    (at, line)
}
