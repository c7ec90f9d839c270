//! Values that are never shown, whatever is exported.
//!
//! A value under a sensitive key becomes `{"reason":"sensitive-key","redacted":true}`. A key is sensitive when it ends in one of
//! the words below; case and the separators `-`, `_` and `.` do not matter.
//!
//! - Maps and lists under such a key keep their shape; each text and number in them is replaced. Bools and nulls stay: they say
//!   whether there is a secret, not which.
//! - What only says where a secret is stays readable: `secretKeyRef {name, key}`, `secretRef {name}`, volumes of Secrets,
//!   `secretName`, projected tokens, the parameters of a certificate's key, the schema of a field. It is known by its whole shape,
//!   never by a part of it.
//! - In a pair such as `{name: DB_PASSWORD, value: …}` the name is the key, and in arguments such as `[--password, …]` the flag is.
//! - Texts are looked into: see [`super::text`].

use super::super::budget::spend;
use super::super::node::{Members, Node};
use super::text::{self, Scrubbed};

/// What a sensitive key ends in.
const WORDS: [&str; 14] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "credentials",
    "auth",
    "clientsecret",
    "connectionstring",
];

/// Words of keys that name an object as often as a value.
const OBJECTS: [&str; 4] = ["secret", "auth", "credential", "credentials"];

/// What keys end in that hold the name of an object, though they may be sensitive.
const NAMES: [&str; 4] = ["secretname", "secretnamespace", "serviceaccountname", "existingsecret"];

/// Annotations that hold the name of a Secret.
const NAMING_ANNOTATIONS: [&str; 3] = [
    "nginx.ingress.kubernetes.io/auth-secret",
    "nginx.ingress.kubernetes.io/auth-tls-secret",
    "nginx.ingress.kubernetes.io/proxy-ssl-secret",
];

/// Names of HTTP headers, sensitive in pairs of name and value.
const HEADERS: [&str; 4] = ["authorization", "cookie", "setcookie", "proxyauthorization"];

/// What decides which keys are sensitive: the words that are known, and some more.
#[derive(Debug)]
pub(in super::super) struct SensitiveKeys {
    more: Vec<String>,
}

impl SensitiveKeys {
    /// The words that are known, and these.
    pub(in super::super) fn new<'w>(more: impl IntoIterator<Item = &'w str>) -> Self {
        Self { more: more.into_iter().filter(|word| Self::is_usable(word)).map(plain).collect() }
    }

    /// Whether a word says anything. One that does not would match every key.
    pub(in super::super) fn is_usable(word: &str) -> bool {
        !plain(word).is_empty()
    }

    /// Whether values under a key are sensitive.
    pub(super) fn matches(&self, key: &str) -> bool {
        WORDS.iter().any(|word| ends(key, word)) || self.more.iter().any(|word| ends(key, word))
    }

    /// Whether the value in a pair with this name is sensitive.
    pub(super) fn matches_name(&self, name: &str) -> bool {
        self.matches(name) || HEADERS.contains(&plain(name).as_str())
    }
}

/// A key as it is compared.
fn plain(key: &str) -> String {
    key.chars().filter(|c| !"-_.".contains(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

fn ends(key: &str, word: &str) -> bool {
    let mut letters = key.bytes().rev().filter(|b| !b"-_.".contains(b)).map(|b| b.to_ascii_lowercase());
    word.bytes().rev().all(|byte| letters.next() == Some(byte))
}

fn ends_in_any(key: &str, words: &[&str]) -> bool {
    words.iter().any(|word| ends(key, word))
}

/// Replaces all sensitive values of a tree. Once the allowance of the evaluation is used up, everything is replaced.
pub(in super::super) fn value(node: &mut Node<'_>, keys: &SensitiveKeys) {
    Scrub { keys, depth: 0 }.walk(node, "", Under::Plain);
}

/// Hides the payload of a ConfigMap in which Helm keeps a release. It is packed, so that no key can be seen in it.
pub(super) fn helm_release(node: &mut Node<'_>) {
    if let Node::Object(members) = node
        && let Some(Node::Object(data)) = members.get_mut("data")
        && let Some(release) = data.get_mut("release")
    {
        *release = redacted();
    }
}

/// What stands in the place of a sensitive value.
pub(super) fn redacted() -> Node<'static> {
    Node::Object(Members::new(vec![
        ("reason".into(), Node::String("sensitive-key".into())),
        ("redacted".into(), Node::Bool(true)),
    ]))
}

/// What the keys above a value say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Nothing.
    Plain,
    /// It is a secret.
    Value,
    /// It is a secret, or the name of an object with one.
    Object,
}

/// One walk.
pub(super) struct Scrub<'k> {
    pub(super) keys: &'k SensitiveKeys,
    /// How many texts the walk is within.
    pub(super) depth: usize,
}

impl Scrub<'_> {
    /// Replaces what is sensitive in a document found in a text. Whether there was any.
    pub(super) fn document(&self, node: &mut Node<'_>) -> bool {
        self.walk(node, "", Under::Plain)
    }

    fn walk(&self, node: &mut Node<'_>, key: &str, under: Under) -> bool {
        if !spend(1) {
            *node = redacted();
            return true;
        }
        match node {
            Node::Null | Node::Bool(_) => false,
            Node::String(text) if under == Under::Plain || names_object(key, text) => {
                match text::scrub(text, self) {
                    Scrubbed::Unchanged => return false,
                    Scrubbed::Text(scrubbed) => *text = scrubbed.into(),
                    Scrubbed::Hidden => *node = redacted(),
                }
                true
            }
            Node::Int(_) | Node::UInt(_) | Node::Float(_) if under == Under::Plain => false,
            Node::String(_) | Node::Int(_) | Node::UInt(_) | Node::Float(_) => {
                *node = redacted();
                true
            }
            Node::Array(items) => {
                let (mut changed, mut flagged) = (false, false);
                for item in items {
                    let flag = item.as_text().filter(|text| text.starts_with('-'));
                    let under = if flagged && flag.is_none() { Under::Value } else { under };
                    flagged = flag.is_some_and(|flag| self.keys.matches(flag));
                    changed |= self.walk(item, key, under);
                }
                changed
            }
            Node::Object(members) => self.members(members, key, under),
        }
    }

    fn members(&self, members: &mut Members<'_>, key: &str, under: Under) -> bool {
        let mut under = under;
        let mut schema = false;
        if under != Under::Plain {
            if is_reference(members, under) || is_redacted(members) {
                return false;
            }
            schema = is_schema(members);
            if schema || is_parameters(members, key) {
                under = Under::Plain;
            }
        }
        let named = ["name", "key"]
            .iter()
            .filter_map(|key| members.get(key)?.as_text())
            .any(|name| self.keys.matches_name(name));
        members.iter_mut().fold(false, |changed, (key, value)| {
            let in_pair = named && matches!(key, "value" | "default");
            let in_schema = schema && matches!(key, "default" | "example" | "examples" | "enum" | "const");
            let under = if in_pair || in_schema { Under::Value } else { self.below(key, under) };
            self.walk(value, key, under) | changed
        })
    }

    fn below(&self, key: &str, under: Under) -> Under {
        if self.keys.matches(key) {
            return if ends_in_any(key, &OBJECTS) { Under::Object } else { Under::Value };
        }
        if under != Under::Plain && ends(key, "ref") { Under::Object } else { under }
    }
}

/// Whether a text under a key is the name of an object.
pub(super) fn names_object(key: &str, text: &str) -> bool {
    (ends_in_any(key, &NAMES) || NAMING_ANNOTATIONS.contains(&key)) && text.split('/').all(is_name)
}

/// Whether a text can be the name of an object: a DNS subdomain.
fn is_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 253
        && text.bytes().all(inner)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
}

/// Whether a text can be a key of a Secret, a kind or an API group.
fn is_word(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-._/".contains(&c);
    (1..=253).contains(&text.len()) && text.bytes().all(inner)
}

/// Whether a map says where a secret is, and nothing else. Its name alone is enough only where a name is what the key asks for.
fn is_reference(members: &Members<'_>, under: Under) -> bool {
    let texts = |key| members.get(key).and_then(Node::as_text);
    let of_secret = texts("secretName").is_some();
    let named = of_secret || texts("name").is_some();
    let enough = of_secret || under == Under::Object || texts("key").is_some();
    named
        && enough
        && members.iter().all(|(key, value)| match (key, value) {
            ("name" | "secretName" | "namespace", Node::String(text)) => is_name(text),
            ("key" | "kind" | "apiVersion" | "apiGroup" | "group", Node::String(text)) => is_word(text),
            ("optional", Node::Bool(_)) | ("defaultMode", Node::Int(_)) => true,
            ("items", Node::Array(items)) => items.iter().all(is_item),
            _ => false,
        })
}

/// Whether a value is a file of a volume of a Secret.
fn is_item(item: &Node<'_>) -> bool {
    let Node::Object(members) = item else { return false };
    members.iter().all(|(key, value)| match (key, value) {
        ("key" | "path", Node::String(text)) => is_word(text),
        ("mode", Node::Int(_)) => true,
        _ => false,
    })
}

/// Whether a map says how a token or a key is to be made: a projected token of a service account, the private key of a
/// certificate.
fn is_parameters(members: &Members<'_>, key: &str) -> bool {
    let only = |keys: &[&str]| members.iter().all(|(key, _)| keys.contains(&key));
    ends(key, "serviceaccounttoken") && only(&["audience", "expirationSeconds", "path"])
        || ends(key, "privatekey") && only(&["algorithm", "encoding", "rotationPolicy", "size"])
}

/// Whether a map is a JSON schema, as the properties of a CustomResourceDefinition have them: a field's name is no secret.
fn is_schema(members: &Members<'_>) -> bool {
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    const KEYWORDS: [&str; 31] = [
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "example",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "externalDocs",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "nullable",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    ];
    members.get("type").and_then(Node::as_text).is_some_and(|text| TYPES.contains(&text))
        && members.iter().all(|(key, _)| KEYWORDS.contains(&key) || key.starts_with("x-kubernetes-"))
}

fn is_redacted(members: &Members<'_>) -> bool {
    members.len() == 2
        && members.get("redacted") == Some(&Node::Bool(true))
        && members.get("reason").and_then(Node::as_text) == Some("sensitive-key")
}
