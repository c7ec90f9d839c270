//! A row: what one target extracted from one object.
//!
//! Rows are what the process keeps for every selected object, so their size decides how much memory it needs.
//! A row is one allocation behind an eight-byte handle. Its header holds the content hash and shared references
//! to the target's name and the kind; behind it lie, in one piece of bytes, the namespace, the name, the uid, the
//! canonical attributes and the names of attributes that failed.
//!
//! A row's order is the order of every export: target namespace, target name, namespace, name, uid, and then
//! content, so that two versions of a row lie beside each other.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use triomphe::ThinArc;

use super::names::{Gvk, TargetName};

/// A content hash of one row: the first 128 bits of the SHA-256 of its canonical JSON.
///
/// It is stable over processes, versions and platforms, so that it can be kept at a destination and compared
/// after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowHash(pub u128);

impl RowHash {
    /// Hashes the canonical JSON of a row, as [`Row::write_json`] gives it.
    pub fn of_json(json: &[u8]) -> Self {
        let whole = Sha256::digest(json);
        let mut first = [0u8; 16];
        first.copy_from_slice(&whole[..16]);
        Self(u128::from_be_bytes(first))
    }

    /// Reads the 32 hexadecimal digits that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An order-independent hash of a set of rows: the sum of their hashes, modulo 2^128.
///
/// Adding and removing a row each cost one addition, so the digest of an inventory is kept up to date for the
/// price of its changes (the construction is AdHash: Bellare and Micciancio, 1997).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

impl Digest {
    /// Takes a row into the set.
    pub fn add(&mut self, row: RowHash) {
        self.0 = self.0.wrapping_add(row.0);
    }

    /// Takes a row out of the set.
    pub fn remove(&mut self, row: RowHash) {
        self.0 = self.0.wrapping_sub(row.0);
    }

    /// Joins the digests of two sets that have no row in common.
    pub fn merge(&mut self, other: Digest) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A row's identity within an inventory. Its order is the order of every export.
///
/// `RowKey<&str>` borrows from a row; `RowKey<String>` stands alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey<S> {
    /// Namespace of the target, empty for a cluster target.
    pub target_namespace: S,
    /// Name of the target.
    pub target_name: S,
    /// Namespace of the object, empty for a cluster-scoped one.
    pub namespace: S,
    /// Name of the object.
    pub name: S,
    /// The object's uid.
    pub uid: S,
}

impl RowKey<&str> {
    /// A copy that stands alone.
    pub fn to_owned(self) -> RowKey<String> {
        RowKey {
            target_namespace: self.target_namespace.to_owned(),
            target_name: self.target_name.to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
        }
    }
}

impl RowKey<String> {
    /// The same key, borrowed.
    pub fn as_ref(&self) -> RowKey<&str> {
        RowKey {
            target_namespace: &self.target_namespace,
            target_name: &self.target_name,
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
        }
    }
}

impl<S: AsRef<str>> fmt::Display for RowKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.target_namespace, &self.target_name, &self.namespace, &self.name] {
            if !part.as_ref().is_empty() {
                write!(f, "{}/", part.as_ref())?;
            }
        }
        f.write_str(self.uid.as_ref())
    }
}

/// What a [`Row`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct RowParts<'a> {
    /// The target that extracted the row.
    pub target: &'a Arc<TargetName>,
    /// The object's group, version and kind.
    pub gvk: &'a Arc<Gvk>,
    /// The object's namespace, empty for a cluster-scoped one.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object's uid.
    pub uid: &'a str,
    /// The attributes as canonical JSON: an object without white space, its keys sorted.
    pub attributes: &'a str,
    /// Names of required attributes that could not be evaluated, sorted.
    pub incomplete: &'a [&'a str],
}

struct Header {
    hash: RowHash,
    target: Arc<TargetName>,
    gvk: Arc<Gvk>,
    namespace: u32,
    name: u32,
    uid: u32,
    attributes: u32,
}

/// What one target extracted from one object; see the module's description for its layout.
///
/// Cloning copies a pointer. Equality and hashing go by the content hash first.
#[derive(Clone)]
pub struct Row(ThinArc<Header, u8>);

impl Row {
    /// Packs a row and computes its hash.
    ///
    /// Each part may have up to 4 GiB; anything longer is cut off by the object size limits of every source
    /// long before it comes here.
    pub fn new(parts: RowParts<'_>) -> Self {
        let mut incomplete = Vec::new();
        for (i, name) in parts.incomplete.iter().enumerate() {
            if i > 0 {
                incomplete.push(b',');
            }
            write_json_string(&mut incomplete, name);
        }
        let mut json = Vec::with_capacity(256 + parts.attributes.len());
        write_row_json(
            &mut json,
            parts.target,
            parts.gvk,
            [parts.namespace, parts.name, parts.uid],
            parts.attributes,
            &incomplete,
        );
        let header = Header {
            hash: RowHash::of_json(&json),
            target: Arc::clone(parts.target),
            gvk: Arc::clone(parts.gvk),
            namespace: parts.namespace.len() as u32,
            name: parts.name.len() as u32,
            uid: parts.uid.len() as u32,
            attributes: parts.attributes.len() as u32,
        };
        json.clear();
        for part in [parts.namespace, parts.name, parts.uid, parts.attributes] {
            json.extend_from_slice(part.as_bytes());
        }
        json.extend_from_slice(&incomplete);
        Self(ThinArc::from_header_and_slice(header, &json))
    }

    /// A row that stands before every row of an object: all its names are empty.
    pub(crate) fn least() -> Self {
        static LEAST: LazyLock<Row> = LazyLock::new(|| {
            Row::new(RowParts {
                target: &Arc::new(TargetName::new("", "")),
                gvk: &Arc::new(Gvk::new("", "", "")),
                namespace: "",
                name: "",
                uid: "",
                attributes: "{}",
                incomplete: &[],
            })
        });
        LEAST.clone()
    }

    /// The piece of the packed bytes that starts at `start`. The bytes were strings when the row was packed.
    fn text(&self, start: u32, len: u32) -> &str {
        let bytes = self.0.slice.get(start as usize..(start + len) as usize);
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn header(&self) -> &Header {
        &self.0.header.header
    }

    /// The target that extracted the row.
    pub fn target(&self) -> &Arc<TargetName> {
        &self.header().target
    }

    /// The object's group, version and kind.
    pub fn gvk(&self) -> &Arc<Gvk> {
        &self.header().gvk
    }

    /// The object's namespace, empty for a cluster-scoped one.
    pub fn namespace(&self) -> &str {
        self.text(0, self.header().namespace)
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        let h = self.header();
        self.text(h.namespace, h.name)
    }

    /// The object's uid.
    pub fn uid(&self) -> &str {
        let h = self.header();
        self.text(h.namespace + h.name, h.uid)
    }

    /// The attributes as canonical JSON: an object without white space, its keys sorted.
    pub fn attributes(&self) -> &str {
        let h = self.header();
        self.text(h.namespace + h.name + h.uid, h.attributes)
    }

    /// The JSON strings, separated by commas, of the names of attributes that failed; empty when none did.
    fn incomplete_json(&self) -> &[u8] {
        let h = self.header();
        let start = (h.namespace + h.name + h.uid + h.attributes) as usize;
        self.0.slice.get(start..).unwrap_or_default()
    }

    /// Names of required attributes that could not be evaluated, sorted; empty for a complete row.
    pub fn incomplete(&self) -> Vec<String> {
        let json = self.incomplete_json();
        let list = [b"[", json, b"]"].concat();
        serde_json::from_slice(&list).unwrap_or_default()
    }

    /// The content hash.
    pub fn hash(&self) -> RowHash {
        self.header().hash
    }

    /// The row's identity within an inventory.
    pub fn key(&self) -> RowKey<&str> {
        RowKey {
            target_namespace: &self.target().namespace,
            target_name: &self.target().name,
            namespace: self.namespace(),
            name: self.name(),
            uid: self.uid(),
        }
    }

    /// Appends the row's canonical JSON: keys in the order `targetNamespace, targetName, namespace, name, group`
    /// (left out when empty)`, version, kind, uid, attributes, incomplete` (left out when empty), no white space.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_row_json(
            out,
            self.target(),
            self.gvk(),
            [self.namespace(), self.name(), self.uid()],
            self.attributes(),
            self.incomplete_json(),
        );
    }

    /// Bytes that the row occupies, its shared names apart.
    pub fn size(&self) -> usize {
        // The reference count and the length stand before the header.
        16 + size_of::<Header>() + self.0.slice.len()
    }

    fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.slice.as_ptr(), other.0.slice.as_ptr())
    }

    /// Whether both rows have one identity.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.cmp_key(other) == Ordering::Equal
    }

    /// Namespace, name and uid as bytes, which have the order of the strings.
    fn names(&self) -> [&[u8]; 3] {
        let h = self.header();
        let (name, uid) = (h.namespace as usize, (h.namespace + h.name) as usize);
        let end = uid + h.uid as usize;
        let piece = |from: usize, to: usize| self.0.slice.get(from..to).unwrap_or_default();
        [piece(0, name), piece(name, uid), piece(uid, end)]
    }

    /// Compares by identity alone: the order of [`RowKey`], without looking at shared names twice.
    pub fn cmp_key(&self, other: &Self) -> Ordering {
        let target = if Arc::ptr_eq(self.target(), other.target()) {
            Ordering::Equal
        } else {
            self.target().cmp(other.target())
        };
        target.then_with(|| self.names().cmp(&other.names()))
    }
}

/// Appends `text` as a JSON string.
fn write_json_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail; an error would leave a broken row, which no hash matches.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"null");
    }
}

fn write_row_json(
    out: &mut Vec<u8>,
    target: &TargetName,
    gvk: &Gvk,
    [namespace, name, uid]: [&str; 3],
    attributes: &str,
    incomplete: &[u8],
) {
    let mut field = |key: &[u8], value: &str| {
        out.extend_from_slice(key);
        write_json_string(out, value);
    };
    field(b"{\"targetNamespace\":", &target.namespace);
    field(b",\"targetName\":", &target.name);
    field(b",\"namespace\":", namespace);
    field(b",\"name\":", name);
    if !gvk.group.is_empty() {
        field(b",\"group\":", &gvk.group);
    }
    field(b",\"version\":", &gvk.version);
    field(b",\"kind\":", &gvk.kind);
    field(b",\"uid\":", uid);
    out.extend_from_slice(b",\"attributes\":");
    out.extend_from_slice(attributes.as_bytes());
    if !incomplete.is_empty() {
        out.extend_from_slice(b",\"incomplete\":[");
        out.extend_from_slice(incomplete);
        out.push(b']');
    }
    out.push(b'}');
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.hash() == other.hash() && self.cmp(other) == Ordering::Equal)
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) {
            return Ordering::Equal;
        }
        self.cmp_key(other)
            .then_with(|| self.hash().cmp(&other.hash()))
            .then_with(|| self.gvk().cmp(other.gvk()))
            .then_with(|| self.attributes().cmp(other.attributes()))
            .then_with(|| self.incomplete_json().cmp(other.incomplete_json()))
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.header().hash.0);
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::new();
        self.write_json(&mut json);
        f.write_str(&String::from_utf8_lossy(&json))
    }
}

/// The parts of a row as they travel between processes.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    target: Arc<TargetName>,
    gvk: Arc<Gvk>,
    texts: [std::borrow::Cow<'a, str>; 4],
    incomplete: Vec<String>,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire {
            target: Arc::clone(self.target()),
            gvk: Arc::clone(self.gvk()),
            texts: [self.namespace(), self.name(), self.uid(), self.attributes()].map(Into::into),
            incomplete: self.incomplete(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let incomplete: Vec<&str> = wire.incomplete.iter().map(String::as_str).collect();
        let [namespace, name, uid, attributes] = &wire.texts;
        Ok(Self::new(RowParts {
            target: &wire.target,
            gvk: &wire.gvk,
            namespace,
            name,
            uid,
            attributes,
            incomplete: &incomplete,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, name: &str, attributes: &str, incomplete: &[&str]) -> Row {
        Row::new(RowParts {
            target: &Arc::new(TargetName::new("team", target)),
            gvk: &Arc::new(Gvk::new("apps", "v1", "Deployment")),
            namespace: "shop",
            name,
            uid: "u-1",
            attributes,
            incomplete,
        })
    }

    #[test]
    fn parts_come_back_as_they_went_in() {
        let row = row("t", "größe", r#"{"a":1}"#, &["b", "c\"d"]);
        assert_eq!(row.namespace(), "shop");
        assert_eq!(row.name(), "größe");
        assert_eq!(row.uid(), "u-1");
        assert_eq!(row.attributes(), r#"{"a":1}"#);
        assert_eq!(row.incomplete(), ["b", "c\"d"]);
    }

    #[test]
    fn json_has_the_keys_of_the_contract_in_order() {
        let mut json = Vec::new();
        row("t", "web", r#"{"a":1}"#, &["b"]).write_json(&mut json);
        assert_eq!(
            String::from_utf8(json).unwrap_or_default(),
            r#"{"targetNamespace":"team","targetName":"t","namespace":"shop","name":"web","group":"apps","version":"v1","kind":"Deployment","uid":"u-1","attributes":{"a":1},"incomplete":["b"]}"#
        );
    }

    #[test]
    fn order_is_target_then_namespace_then_name_whatever_the_content() {
        let (a, b) = (row("a", "z", "{}", &[]), row("b", "a", "{}", &[]));
        assert!(a < b);
        let (old, new) = (row("a", "z", r#"{"v":1}"#, &[]), row("a", "z", r#"{"v":2}"#, &[]));
        assert!(old.has_key_of(&new) && old != new);
        assert!(old < b && new < b);
    }

    #[test]
    fn equal_content_is_equal_and_any_difference_is_not() {
        let base = row("a", "z", "{}", &[]);
        assert_eq!(base, row("a", "z", "{}", &[]));
        for other in [
            row("b", "z", "{}", &[]),
            row("a", "y", "{}", &[]),
            row("a", "z", r#"{"v":1}"#, &[]),
            row("a", "z", "{}", &["x"]),
        ] {
            assert_ne!(base, other);
            assert_ne!(base.hash(), other.hash());
        }
    }

    #[test]
    fn digest_does_not_depend_on_order_and_forgets_what_is_removed() {
        let (a, b) = (row("a", "x", "{}", &[]).hash(), row("a", "y", "{}", &[]).hash());
        let (mut one, mut two) = (Digest::default(), Digest::default());
        one.add(a);
        one.add(b);
        two.add(b);
        two.add(a);
        assert_eq!(one, two);
        two.remove(b);
        two.remove(a);
        assert_eq!(two, Digest::default());
    }

    #[test]
    fn hashes_print_and_parse() {
        let hash = row("a", "x", "{}", &[]).hash();
        assert_eq!(RowHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(RowHash::parse("xyz"), None);
    }
}
