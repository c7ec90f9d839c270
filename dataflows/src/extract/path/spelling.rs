//! The spellings of a path, brought to one form.
//!
//! Accepted are RFC 9535 (`$.a.b`, `$['a']`), the same without `$` (`.a.b`), and kubectl's braces (`{.a.b}`), in
//! all of them kubectl's escaped dots (`.metadata.labels.app\.kubernetes\.io/name`) and keys with `-` or `/` without
//! quotes. `$`, `.` and `{.}` name the whole object. Slices, filters and unions are kept as they are written and left to
//! the engine.

use super::super::problem::Refusal;
use super::Step;

/// Greatest length of a path in bytes.
pub(super) const MAX_LENGTH: usize = 4096;

/// Greatest nesting of brackets and parentheses. The engine's grammar backtracks, so its time to parse grows
/// exponentially with nesting.
pub(super) const MAX_NESTING: usize = 8;

/// Greatest magnitude of a position: RFC 9535, 2.1.
const MAX_INDEX: u64 = (1 << 53) - 1;

const HOW: &str = "write a JSONPath such as `$.spec.replicas` or `{.spec.replicas}`, or a CEL expression such as `cel:object.spec.replicas`";

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(i64),
    Every,
    /// The content of brackets that is none of the above.
    Brackets(String),
    /// `..` before a segment.
    Descendant(Box<Segment>),
}

impl Segment {
    /// The segment as a step of a direct walk.
    pub(super) fn step(&self) -> Option<Step> {
        match self {
            Self::Key(key) => Some(Step::Key(key.clone())),
            Self::Index(position) => Some(Step::Index(*position)),
            Self::Every => Some(Step::Every),
            Self::Brackets(_) | Self::Descendant(_) => None,
        }
    }

    /// Whether the segment may refer to the whole object.
    pub(super) fn may_read_root(&self) -> bool {
        match self {
            Self::Key(_) | Self::Index(_) | Self::Every => false,
            Self::Brackets(content) => content.contains('$'),
            Self::Descendant(segment) => segment.may_read_root(),
        }
    }

    /// Appends the segment as RFC 9535 writes it.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Key(key) => {
                out.push_str("['");
                for c in key.chars() {
                    match c {
                        '\'' | '\\' => out.extend(['\\', c]),
                        '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                        _ => out.push(c),
                    }
                }
                out.push_str("']");
            }
            Self::Index(position) => out.push_str(&format!("[{position}]")),
            Self::Every => out.push_str("[*]"),
            Self::Brackets(text) => {
                out.push('[');
                out.push_str(text);
                out.push(']');
            }
            Self::Descendant(segment) => {
                out.push_str("..");
                segment.write(out);
            }
        }
    }
}

/// Reads a path in any spelling.
pub(super) fn parse(text: &str) -> Result<Vec<Segment>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::new("the path is empty", HOW));
    }
    if text.len() > MAX_LENGTH {
        return Err(Refusal::new(
            format!("the path has {} bytes, more than {MAX_LENGTH}", text.len()),
            "shorten it, or split it into several attributes",
        ));
    }
    let body = strip_braces(text)?;
    let (rest, rooted) = body.strip_prefix('$').map_or((body, false), |rest| (rest, true));
    if rest.is_empty() && rooted || !rooted && rest == "." {
        return Ok(Vec::new());
    }
    if !rest.starts_with(['.', '[']) {
        return Err(Refusal::new(
            format!("`{text}` is neither a JSONPath nor a CEL expression"),
            guess(text),
        ));
    }
    Reader { text: rest, at: 0 }.segments()
}

/// What someone who wrote `spec.replicas` may have meant.
fn guess(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./[]*'".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) {
        let field = text.strip_prefix("object.").unwrap_or(text);
        format!("if a JSONPath is meant, write `$.{field}`; if CEL is meant, write `cel:object.{field}`")
    } else {
        HOW.to_owned()
    }
}

fn strip_braces(text: &str) -> Result<&str, Refusal> {
    let Some(inner) = text.strip_prefix('{') else { return Ok(text) };
    let Some(inner) = inner.strip_suffix('}') else {
        return Err(Refusal::new(
            "the path has an opening brace without the closing one at its end",
            "end it with `}`",
        ));
    };
    Ok(inner.trim())
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn segments(mut self) -> Result<Vec<Segment>, Refusal> {
        let mut segments = Vec::new();
        while !self.rest().is_empty() {
            segments.push(self.segment()?);
        }
        Ok(segments)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn segment(&mut self) -> Result<Segment, Refusal> {
        if self.eat("..") {
            let segment = if self.rest().starts_with('[') { self.brackets()? } else { self.dotted()? };
            return Ok(Segment::Descendant(Box::new(segment)));
        }
        if self.eat(".") {
            // kubectl takes `.a.[0]` for `.a[0]`.
            return if self.rest().starts_with('[') { self.brackets() } else { self.dotted() };
        }
        if self.rest().starts_with('[') {
            return self.brackets();
        }
        Err(Refusal::new(
            format!("the path has `{}` where a `.` or `[` is expected", shown(self.rest())),
            "separate keys with dots, and quote a key with special characters: `['…']`",
        ))
    }

    /// A key or `*` after a dot.
    fn dotted(&mut self) -> Result<Segment, Refusal> {
        if self.eat("*") {
            return Ok(Segment::Every);
        }
        let mut key = String::new();
        let mut chars = self.rest().char_indices().peekable();
        let mut end = self.rest().len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => key.push(escaped),
                    None => return Err(Refusal::new("the path ends in a backslash", "remove it")),
                },
                c if c.is_alphanumeric() || "_-/:".contains(c) => key.push(c),
                '.' | '[' => {
                    end = at;
                    break;
                }
                _ => {
                    return Err(Refusal::new(
                        format!("the path has the character `{c}` in a key without quotes"),
                        "quote the key: `['…']`",
                    ));
                }
            }
        }
        self.at += end;
        if key.is_empty() {
            return Err(Refusal::new(
                "the path has a dot that no key follows",
                "remove the dot or name the key",
            ));
        }
        Ok(Segment::Key(key))
    }

    /// Everything from `[` to the matching `]`.
    fn brackets(&mut self) -> Result<Segment, Refusal> {
        let length = closing(self.rest())?;
        let content = self.rest().get(1..length).unwrap_or_default().trim();
        self.at += length + 1;
        if content == "*" {
            return Ok(Segment::Every);
        }
        if content.strip_prefix('-').unwrap_or(content).bytes().all(|b| b.is_ascii_digit())
            && !content.is_empty()
        {
            return index(content);
        }
        if let Some(key) = quoted(content) {
            return key.map(Segment::Key);
        }
        Ok(Segment::Brackets(content.to_owned()))
    }
}

/// Position of the bracket that closes the one `text` begins with.
fn closing(text: &str) -> Result<usize, Refusal> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if mark == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => open.push(']'),
            (None, '(') => open.push(')'),
            (None, ']' | ')') => {
                if open.pop() != Some(c) {
                    return Err(unbalanced());
                }
                if open.is_empty() {
                    return Ok(at);
                }
            }
            (None, _) => {}
        }
        if open.len() > MAX_NESTING {
            return Err(Refusal::new(
                format!("the path nests brackets deeper than {MAX_NESTING} levels"),
                "simplify the filter, or use CEL",
            ));
        }
    }
    Err(if quote.is_some() {
        Refusal::new("the path has an opening quote without the closing one", "close the quote")
    } else {
        unbalanced()
    })
}

fn unbalanced() -> Refusal {
    Refusal::new(
        "the path has brackets or parentheses that do not match",
        "close each bracket that is opened",
    )
}

fn index(digits: &str) -> Result<Segment, Refusal> {
    let magnitude = digits.trim_start_matches('-');
    if magnitude.len() > 1 && magnitude.starts_with('0') || digits == "-0" {
        return Err(Refusal::new(
            format!("the position `{}` has a leading zero", shown(digits)),
            "write it without, or quote it if it is a key: `['…']`",
        ));
    }
    match digits.parse::<i64>() {
        Ok(position) if position.unsigned_abs() <= MAX_INDEX => Ok(Segment::Index(position)),
        _ => Err(Refusal::new(
            format!("the position `{}` is out of range", shown(digits)),
            "use a position that a list can have",
        )),
    }
}

/// The key, when `content` is exactly one quoted string.
fn quoted(content: &str) -> Option<Result<String, Refusal>> {
    let mark = content.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut key = String::new();
    let mut chars = content.get(1..)?.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match unescape(&mut chars) {
                Some(c) => key.push(c),
                None => {
                    return Some(Err(Refusal::new(
                        "the path has a quoted key with an escape that JSON does not have",
                        "write a backslash as `\\\\`, and use only the escapes of JSON",
                    )));
                }
            },
            c if c == mark => return chars.as_str().is_empty().then_some(Ok(key)),
            c => key.push(c),
        }
    }
    None
}

fn unescape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let high = hex(chars)?;
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high);
            }
            let low =
                (chars.next() == Some('\\') && chars.next() == Some('u')).then(|| hex(chars)).flatten()?;
            let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            return char::from_u32(0x10000 + ((high - 0xd800) << 10) + low);
        }
        c @ ('/' | '\\' | '\'' | '"') => c,
        _ => return None,
    })
}

fn hex(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value * 16 + chars.next()?.to_digit(16)?))
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    const LONGEST: usize = 24;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
