//! Paths with placeholders, and names that every file system takes.

use sha2::{Digest as _, Sha256};

use crate::sinks::{ConfigError, hex};

/// A part of a path that depends on the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    Cluster,
    Namespace,
    Name,
    TargetNamespace,
    TargetName,
    SourceNamespace,
    SourceName,
    Group,
    Kind,
    Uid,
    Generation,
    Extension,
}

impl Placeholder {
    /// What a row has.
    pub(super) const OF_ROWS: [Self; 11] = [
        Self::Cluster,
        Self::Namespace,
        Self::Name,
        Self::TargetNamespace,
        Self::TargetName,
        Self::SourceNamespace,
        Self::SourceName,
        Self::Group,
        Self::Kind,
        Self::Uid,
        Self::Extension,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Cluster => "{cluster}",
            Self::Namespace => "{namespace}",
            Self::Name => "{name}",
            Self::TargetNamespace => "{targetNamespace}",
            Self::TargetName => "{targetName}",
            Self::SourceNamespace => "{sourceNamespace}",
            Self::SourceName => "{sourceName}",
            Self::Group => "{group}",
            Self::Kind => "{kind}",
            Self::Uid => "{uid}",
            Self::Generation => "{generation}",
            Self::Extension => "{extension}",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// A path with placeholders, by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Vec<Part>>,
}

impl Template {
    pub(super) fn parse(field: &str, text: &str, allowed: &[Placeholder]) -> Result<Self, ConfigError> {
        let error =
            |message: String, remedy: String| ConfigError { field: field.to_owned(), message, remedy };
        if text.starts_with('/') || text.contains('\\') {
            return Err(error(
                format!("`{}` is not a relative path", text.escape_debug()),
                "begin with a name, and separate names with `/`".to_owned(),
            ));
        }
        let mut segments = Vec::new();
        for segment in text.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(error(
                    format!("`{text}` has the segment `{segment}`"),
                    "use names and placeholders only".to_owned(),
                ));
            }
            let mut parts = Vec::new();
            let mut rest = segment;
            while !rest.is_empty() {
                let Some(at) = rest.find(['{', '}']) else {
                    parts.push(Part::Text(rest.to_owned()));
                    break;
                };
                if at > 0 {
                    parts.push(Part::Text(rest[..at].to_owned()));
                }
                rest = &rest[at..];
                let Some(known) = allowed.iter().find(|known| rest.starts_with(known.text())) else {
                    let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                    let known: Vec<&str> = allowed.iter().map(|known| known.text()).collect();
                    return Err(error(
                        format!("`{}` is not a placeholder here", rest[..end].escape_debug()),
                        format!("use {}", known.join(", ")),
                    ));
                };
                parts.push(Part::Value(*known));
                rest = &rest[known.text().len()..];
            }
            segments.push(parts);
        }
        Ok(Self { segments })
    }

    pub(super) fn text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(placeholder) => placeholder.text().to_owned(),
        };
        let segments = self.segments.iter().map(|parts| parts.iter().map(part).collect::<String>());
        segments.collect::<Vec<_>>().join("/")
    }

    pub(super) fn has(&self, placeholder: Placeholder) -> bool {
        self.segments.iter().flatten().any(|part| *part == Part::Value(placeholder))
    }

    pub(super) fn render(
        &self,
        longest: usize,
        extension: &str,
        value: impl Fn(Placeholder) -> String,
    ) -> String {
        let mut path = String::new();
        for (i, segment) in self.segments.iter().enumerate() {
            let mut name = String::new();
            let mut end = "";
            for part in segment {
                // What would stand behind the extension goes before it: the extension is the end of the name.
                match part {
                    Part::Text(text) => name.push_str(text),
                    Part::Value(Placeholder::Extension) => end = extension,
                    Part::Value(placeholder) => name.push_str(&value(*placeholder)),
                }
            }
            if i > 0 {
                path.push('/');
            }
            path.push_str(&file_name(&name, longest.saturating_sub(end.len())));
            path.push_str(end);
        }
        path
    }
}

/// A name that every file system takes, of at most `longest` bytes.
fn file_name(text: &str, longest: usize) -> String {
    let mut name: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    // Hidden files are the sink's own; `.` and `..` are no names at all.
    if name.starts_with('.') || name.is_empty() {
        name.insert(0, '_');
    }
    // Some systems drop a dot at the end.
    if name.ends_with('.') {
        name.push('_');
    }
    if name.len() > longest { with_hash(&name, &short_hash(&[text]), longest) } else { name }
}

/// The name, cut off where necessary, with a hash at its end.
pub(super) fn with_hash(name: &str, hash: &str, longest: usize) -> String {
    let mut end = name.len().min(longest.saturating_sub(hash.len() + 1));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", &name[..end])
}

/// Eight hexadecimal digits that stand for the texts.
pub(super) fn short_hash(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..4])
}
