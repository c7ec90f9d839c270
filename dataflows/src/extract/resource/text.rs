//! Secrets within texts.
//!
//! - JSON (one document or several) is scrubbed like the object itself and, where that changes anything, written back compactly.
//! - The user info of URLs is replaced: `postgres://redacted@host/db`.
//! - In lines of the form `key=value` or `key: value`, as arguments, properties and YAML have them, the value of a sensitive
//!   key is replaced by `redacted`, and so are the lines of its block.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::budget::spend_text;
use super::super::node::Node;
use super::scrub::{Scrub, SensitiveKeys, names_object};

/// How many texts within texts are looked into. One that lies deeper and looks like JSON is hidden.
const MAX_DEPTH: usize = 4;

const REDACTED: &str = "redacted";

/// What became of a text.
pub(super) enum Scrubbed {
    /// There is nothing sensitive in it.
    Unchanged,
    /// The text without what is sensitive.
    Text(String),
    /// It can't be told.
    Hidden,
}

/// Scrubs one text.
pub(super) fn scrub(text: &str, scrub: &Scrub<'_>) -> Scrubbed {
    if !spend_text(text) {
        return Scrubbed::Hidden;
    }
    if text.trim_start().starts_with(['{', '['])
        && let Some(mut documents) = documents(text)
    {
        if scrub.depth == MAX_DEPTH {
            return Scrubbed::Hidden;
        }
        let inner = Scrub { keys: scrub.keys, depth: scrub.depth + 1 };
        let changed = documents.iter_mut().fold(false, |changed, node| inner.document(node) | changed);
        if !changed && !has_hidden_members(text, &documents) {
            return Scrubbed::Unchanged;
        }
        let written: Result<Vec<String>, _> = documents.iter().map(serde_json::to_string).collect();
        return written.map_or(Scrubbed::Hidden, |lines| Scrubbed::Text(lines.join("\n")));
    }
    let without_users = without_user_info(text);
    match (without_values(&without_users, scrub.keys), &without_users) {
        (Cow::Owned(scrubbed), _) => Scrubbed::Text(scrubbed),
        (Cow::Borrowed(_), Cow::Owned(scrubbed)) => Scrubbed::Text(scrubbed.clone()),
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Scrubbed::Unchanged,
    }
}

/// The JSON maps and lists that a text consists of.
fn documents(text: &str) -> Option<Vec<Node<'_>>> {
    let documents: Result<Vec<_>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let documents = documents.ok()?;
    documents.iter().all(|node| matches!(node, Node::Array(_) | Node::Object(_))).then_some(documents)
}

/// Whether a text has members that its tree has not, because another one with the same key came later.
fn has_hidden_members(text: &str, documents: &[Node<'_>]) -> bool {
    fn count(node: &Node<'_>) -> usize {
        match node {
            Node::Array(items) => items.iter().map(count).sum(),
            Node::Object(members) => {
                members.len() + members.iter().map(|(_, node)| count(node)).sum::<usize>()
            }
            _ => 0,
        }
    }
    let written: Result<Vec<MemberCount>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let written = written.map(|counts| counts.iter().map(|MemberCount(count)| count).sum());
    written.ok() != Some(documents.iter().map(count).sum::<usize>())
}

/// How many members the maps of a document have, as they are written.
struct MemberCount(usize);

impl<'de> Deserialize<'de> for MemberCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter).map(Self)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = usize;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E>(self, _: &str) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(MemberCount(of_item)) = items.next_element()? {
            count += of_item;
        }
        Ok(count)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some((IgnoredAny, MemberCount(of_member))) = entries.next_entry()? {
            count += 1 + of_member;
        }
        Ok(count)
    }
}

/// A text of which parts are replaced.
struct Edited<'t> {
    text: &'t str,
    out: String,
    /// How much of the text is in `out`, kept or replaced.
    done: usize,
}

impl<'t> Edited<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, out: String::new(), done: 0 }
    }

    fn redact(&mut self, start: usize, length: usize) {
        self.out.push_str(self.text.get(self.done..start).unwrap_or_default());
        self.out.push_str(REDACTED);
        self.done = start + length;
    }

    fn finish(mut self) -> Cow<'t, str> {
        if self.done == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Cow::Owned(self.out)
    }
}

/// The text with the user info of its URLs replaced.
fn without_user_info(text: &str) -> Cow<'_, str> {
    let mut edited = Edited::new(text);
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        if start >= edited.done
            && let Some(length) = text.get(start..).and_then(user_info)
        {
            edited.redact(start, length);
        }
    }
    edited.finish()
}

/// Length of the user info that a text begins with; the `@` is not part of it.
fn user_info(text: &str) -> Option<usize> {
    // A password may have any character in practice, but an authority ends at these.
    let authority =
        text.split(|c: char| c.is_whitespace() || "/?#\"<>`".contains(c)).next().unwrap_or_default();
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    // `user:pa/ss@host`: no port has letters, so that it must be a password.
    let (_, port) = authority.rsplit_once(':')?;
    if authority.starts_with('[') || port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.split(char::is_whitespace).next().unwrap_or_default().rfind('@')
}

/// The text with the values of sensitive keys replaced, in lines that give a key a value.
fn without_values<'t>(text: &'t str, keys: &SensitiveKeys) -> Cow<'t, str> {
    let mut edited = Edited::new(text);
    // The indentation of a sensitive key whose value is a block of lines.
    let mut block: Option<usize> = None;
    // Whether the last name was that of something sensitive.
    let mut named = false;
    let mut next = 0;
    for line in text.split_inclusive('\n') {
        let start = next;
        next += line.len();
        let content = line.trim_end();
        let indent = content.len() - content.trim_start().len();
        if block.is_some_and(|of_key| content.is_empty() || indent > of_key) {
            if !content.is_empty() {
                edited.redact(start + indent, content.len() - indent);
            }
            continue;
        }
        block = None;
        let Some(Assignment { key, value, at }) = assignment(content) else { continue };
        let in_pair = named && key == "value";
        if matches!(key, "name" | "key") {
            named = keys.matches_name(value.trim_matches(QUOTES));
        }
        if !in_pair && (!keys.matches(key) || names_object(key, value)) {
            continue;
        }
        if is_block(value) {
            block = Some(indent);
        } else if !value.is_empty() && !is_variable(value) {
            edited.redact(start + at, value.len());
        }
    }
    edited.finish()
}

const QUOTES: [char; 2] = ['"', '\''];

/// A line that gives a key a value.
struct Assignment<'t> {
    key: &'t str,
    value: &'t str,
    /// Where the value starts in the line.
    at: usize,
}

/// Takes `key=value`, `--key=value`, `key: value`, `- "key": value` and `export KEY=value`.
fn assignment(line: &str) -> Option<Assignment<'_>> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let sign = line.find(['=', ':'])?;
    let value = line.get(sign + 1..)?;
    // `nginx:1.29` is no pair.
    if line.get(sign..)?.starts_with(':') && !value.is_empty() && !value.starts_with([' ', '\t', '"', '\'']) {
        return None;
    }
    let key = line.get(..sign)?.trim();
    let key = key.strip_prefix("export ").or(key.strip_prefix("- ")).unwrap_or(key).trim();
    let key = key.trim_matches(QUOTES);
    let value = value.trim();
    (!key.is_empty() && key.chars().all(is_key)).then(|| Assignment {
        key,
        value,
        at: line.trim_end().len() - value.len(),
    })
}

/// Whether a value only says where it comes from: `$TOKEN`, `${TOKEN}`, `$(TOKEN)`, `$(cat token)`, `{{ .Values.token }}`. A password
/// may begin with `$` too, and a default may stand within.
fn is_variable(value: &str) -> bool {
    let value = value.trim_matches(QUOTES);
    let within = |open, close| value.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let is_path = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./$ ".contains(&b));
    value.strip_prefix('$').is_some_and(is_name)
        || within("${", "}").is_some_and(is_name)
        || within("$(", ")").is_some_and(|text| is_name(text) || text.starts_with("cat ") && is_path(text))
        || within("{{", "}}").is_some_and(is_path)
}

/// Whether a value says that the lines below are it: `|`, `>-`, `|2+`.
fn is_block(value: &str) -> bool {
    value
        .strip_prefix(['|', '>'])
        .is_some_and(|rest| rest.len() <= 2 && rest.bytes().all(|b| b"+-123456789".contains(&b)))
}
