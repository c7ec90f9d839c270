//! A document in parts of a limited size, and the index that lists them.
//!
//! Where a document is cut depends on its rows alone, and on those nearby: each row has a rank, a hash of its key, and is the
//! beginning of a part exactly when the rows around it, as far as they have lesser ranks, are together larger than a part may
//! be. These are the cuts of a treap (Seidel and Aragon, "Randomized Search Trees", 1996) that is cut open from its root
//! until every piece is small enough. So
//!
//! - no part is too large: the row with the highest rank in it, its first one apart, would have been a cut otherwise;
//! - a change of one row moves no cut that is further from it than one part is large: those parts keep name and content;
//! - the same rows give the same parts, whatever was there before.
//!
//! Parts are half full in the mean.

use std::collections::HashSet;

use kollect_dataflows::data::RowKey;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::document::{Summary, envelope};
use super::layout::Format;

/// How a JSON document ends.
pub const JSON_END: &str = "\n]}\n";

/// How many bytes a file has beside its rows, at most.
pub fn around(format: Format, cluster: &str) -> u64 {
    match format {
        Format::Yaml => 0,
        Format::Json => {
            let longest = Summary { items: u64::MAX, checksum: "0".repeat(64) };
            let time = "2000-01-01T00:00:00.000000000Z";
            (envelope(&longest, u64::MAX, time, cluster, "items").len() + JSON_END.len()) as u64
        }
    }
}

/// The size of a row in a document, and how it stands to others when that is cut.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    rank: u64,
    bytes: u64,
}

impl Piece {
    /// For a row that takes so many bytes of the document.
    pub fn new(key: RowKey<&str>, bytes: u64) -> Self {
        let mut hash = Sha256::new();
        for part in [key.target_namespace, key.target_name, key.namespace, key.name, key.uid] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut rank = [0; 8];
        rank.copy_from_slice(&hash.finalize()[..8]);
        Self { rank: u64::from_be_bytes(rank), bytes }
    }

    /// The size of the row.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A part of a document: rows one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rank of the row that the part was cut at; 0 for the first part.
    rank: u64,
    /// The number of its first row.
    pub first: usize,
    /// How many rows.
    pub rows: usize,
    /// The bytes of the rows before it, and of its own.
    pub start: u64,
    /// See `start`.
    pub bytes: u64,
}

/// Cuts a document so that no part has more than `limit` bytes, if no row has. There is always a first part.
pub fn cut(pieces: &[Piece], limit: u64) -> Vec<Part> {
    let mut starts: Vec<u64> = Vec::with_capacity(pieces.len() + 1);
    let mut total = 0;
    starts.push(0);
    for piece in pieces {
        total += piece.bytes;
        starts.push(total);
    }
    // For each row, the first one from which on all up to it have lesser ranks, but for the one that stands at that place.
    let mut from = vec![0; pieces.len()];
    let mut is_cut = vec![false; pieces.len()];
    // Rows of descending rank, whose ends are not known yet.
    let mut open: Vec<usize> = Vec::new();
    for end in 0..=pieces.len() {
        while let Some(&row) = open.last() {
            if end < pieces.len() && pieces[end].rank <= pieces[row].rank {
                break;
            }
            open.pop();
            is_cut[row] = row > 0 && starts[end] - starts[from[row]] > limit;
        }
        if end < pieces.len() {
            from[end] = open.last().copied().unwrap_or(0);
            open.push(end);
        }
    }
    let cuts: Vec<usize> = std::iter::once(0).chain((0..pieces.len()).filter(|row| is_cut[*row])).collect();
    let ends = cuts.iter().skip(1).copied().chain([pieces.len()]);
    let mut ranks = HashSet::new();
    cuts.iter()
        .zip(ends)
        .map(|(&first, end)| {
            let mut rank = if first == 0 { 0 } else { pieces[first].rank };
            // Two parts of one name are as good as impossible, but would be a loss.
            while !ranks.insert(rank) {
                rank = rank.wrapping_add(1);
            }
            Part { rank, first, rows: end - first, start: starts[first], bytes: starts[end] - starts[first] }
        })
        .collect()
}

/// What the index is called, beside the name of the document.
pub const INDEX: &str = "index";

impl Part {
    /// What it is called, beside the name of the document.
    pub fn name(&self) -> String {
        format!("{:016x}", self.rank)
    }
}

/// What the index says of a part.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Beside the index.
    pub path: String,
    /// How many rows.
    pub item_count: u64,
    /// Of the file, in hexadecimal digits.
    pub sha256: String,
    /// The part's first row: it holds all from there up to that of the next part.
    pub first: First,
}

/// The key of a row.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct First {
    target_namespace: String,
    target_name: String,
    namespace: String,
    name: String,
    uid: String,
}

impl From<RowKey<&str>> for First {
    fn from(key: RowKey<&str>) -> Self {
        Self {
            target_namespace: key.target_namespace.to_owned(),
            target_name: key.target_name.to_owned(),
            namespace: key.namespace.to_owned(),
            name: key.name.to_owned(),
            uid: key.uid.to_owned(),
        }
    }
}

/// The index of a document in parts: its envelope, with the parts in place of the items. In YAML, which is to be the same for the
/// same rows, without generation and time.
pub fn index(
    format: Format,
    summary: &Summary,
    generation: u64,
    exported_at: &str,
    cluster: &str,
    parts: &[Listed],
) -> String {
    // Strings and numbers always serialise.
    let lines: Vec<String> =
        parts.iter().map(|part| serde_json::to_string(part).unwrap_or_default()).collect();
    match format {
        Format::Json => {
            let head = envelope(summary, generation, exported_at, cluster, "parts");
            format!("{head}\n{}\n]}}\n", lines.join(",\n"))
        }
        Format::Yaml => {
            let mut yaml = format!(
                "schemaVersion: kollect.dev/v1alpha1\nchecksum: {}\nitemCount: {}\n",
                Value::from(summary.checksum.as_str()),
                summary.items
            );
            if !cluster.is_empty() {
                yaml += &format!("cluster: {}\n", Value::from(cluster));
            }
            yaml += "parts:\n";
            // JSON is YAML.
            lines.iter().for_each(|line| yaml += &format!("- {line}\n"));
            yaml
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn name(number: u32) -> String {
        format!("row-{number:05}")
    }

    /// Pieces of rows with these numbers, and sizes.
    fn pieces(rows: &BTreeMap<u32, u64>) -> Vec<Piece> {
        let piece = |(number, bytes): (&u32, &u64)| {
            let (name, uid) = (name(*number), "u");
            let key = RowKey { target_namespace: "t", target_name: "t", namespace: "n", name: &name, uid };
            Piece::new(key, *bytes)
        };
        rows.iter().map(piece).collect()
    }

    /// The parts by name: numbers and sizes of their rows.
    fn parts(rows: &BTreeMap<u32, u64>, limit: u64) -> BTreeMap<String, Vec<(u32, u64)>> {
        let all: Vec<(u32, u64)> = rows.iter().map(|(number, bytes)| (*number, *bytes)).collect();
        let parts = cut(&pieces(rows), limit);
        let by_name = parts.iter().map(|part| {
            let rows = &all[part.first..part.first + part.rows];
            assert_eq!(part.bytes, rows.iter().map(|(_, bytes)| bytes).sum::<u64>());
            assert_eq!(part.start, all[..part.first].iter().map(|(_, bytes)| bytes).sum::<u64>());
            (part.name(), rows.to_vec())
        });
        by_name.collect()
    }

    /// Written the way it is meant: cut at the highest rank until all is small enough.
    fn oracle(pieces: &[Piece], start: usize, limit: u64, cuts: &mut Vec<usize>) {
        if pieces.iter().map(|piece| piece.bytes).sum::<u64>() <= limit || pieces.len() < 2 {
            return;
        }
        let highest = (1..pieces.len()).max_by_key(|row| pieces[*row].rank).unwrap();
        oracle(&pieces[..highest], start, limit, cuts);
        cuts.push(start + highest);
        oracle(&pieces[highest..], start + highest, limit, cuts);
    }

    fn many() -> impl Strategy<Value = BTreeMap<u32, u64>> {
        prop::collection::btree_map(0..5_000_u32, 1..100_u64, 0..300)
    }

    proptest! {
        #[test]
        fn parts_hold_every_row_once_and_none_is_too_large(rows in many(), limit in 100..2_000_u64) {
            let parts = parts(&rows, limit);
            let mut all: Vec<(u32, u64)> = parts.values().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, rows.into_iter().collect::<Vec<_>>());
            for rows in parts.values() {
                prop_assert!(rows.iter().map(|(_, bytes)| bytes).sum::<u64>() <= limit);
            }
        }

        #[test]
        fn cuts_are_those_at_the_highest_ranks(rows in many(), limit in 1..2_000_u64) {
            let pieces = pieces(&rows);
            let mut cuts = vec![0];
            oracle(&pieces, 0, limit, &mut cuts);
            let found: Vec<usize> = cut(&pieces, limit).iter().map(|part| part.first).collect();
            prop_assert_eq!(found, cuts);
        }

        #[test]
        fn a_change_moves_no_cut_that_is_far_away(
            before in many(), limit in 100..500_u64, number in 0..5_000_u32, bytes in prop::option::of(1..100_u64),
        ) {
            let mut after = before.clone();
            match bytes {
                Some(bytes) => _ = after.insert(number, bytes),
                None => _ = after.remove(&number),
            }
            let (old, new) = (parts(&before, limit), parts(&after, limit));
            for (name, rows) in &old {
                let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { continue };
                let (first, last) = (*first, *last);
                // How many bytes of rows are between the part and the row that changes.
                let between: u64 = if last < number {
                    before.range(last + 1..number).map(|(_, bytes)| bytes).sum()
                } else if number < first {
                    before.range(number + 1..first).map(|(_, bytes)| bytes).sum()
                } else {
                    0
                };
                if between > limit {
                    prop_assert_eq!(new.get(name), Some(rows));
                }
            }
        }
    }

    #[test]
    fn a_document_without_rows_is_one_part() {
        let parts = cut(&[], 10);
        assert_eq!((parts.len(), parts[0].rows, parts[0].bytes), (1, 0, 0));
    }

    #[test]
    fn an_index_reads_the_same_in_both_formats() {
        let key = RowKey {
            target_namespace: "",
            target_name: "web",
            namespace: "shop",
            name: "a: #b",
            uid: "u\"1",
        };
        let part = |path: &str| Listed {
            path: path.to_owned(),
            item_count: 2,
            sha256: "0e1".to_owned(),
            first: key.into(),
        };
        let summary = Summary { items: 4, checksum: "12".to_owned() };
        let text =
            |format| index(format, &summary, 3, "2024-01-01T00:00:00Z", "east", &[part("a"), part("b")]);
        let json: Value = serde_json::from_str(&text(Format::Json)).unwrap();
        assert_eq!((&json["generation"], &json["exportedAt"]), (&3.into(), &"2024-01-01T00:00:00Z".into()));
        let mut yaml: Value = serde_saphyr::from_str(&text(Format::Yaml)).unwrap();
        yaml["generation"] = json["generation"].clone();
        yaml["exportedAt"] = json["exportedAt"].clone();
        assert_eq!(json, yaml);
        assert_eq!(json["parts"][1]["first"]["uid"], "u\"1");
        assert_eq!(json["checksum"], "12");
    }
}
