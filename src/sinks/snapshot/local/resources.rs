//! One file a row.
//!
//! What the sink knows of each row (path, hash) is in memory, read from the manifest and checked against the files when
//! it connects. A batch goes like this:
//!
//! ```text
//! 1  who asks for which path after the batch; rows that share one, or no longer do, are moved
//! 2  for some hundred rows at a time: write under temporary names, list, put into place
//! 3  remove the files that no row has any more, then strike them off the list
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kollect_dataflows::data::{Row, RowHash};

use super::client::{clear, write_row};
use super::config::Config;
use super::encode::{self, Content, Entry, FileHash, Key, RowEntry};
use super::files::{CAN_SYNC_EVERYTHING, Root, Temporary, failed};
use super::manifest::Manifest;
use crate::sinks::blocking::Gate;
use crate::sinks::snapshot::layout::fold;
use crate::sinks::{BindingName, Change, HeldRow, Receipt, RowSink, SinkError, Term};

/// How many files are written before they are synced, listed and put into place.
const FILES_AT_A_TIME: usize = 2_000;

/// From this many files on, syncing the whole file system is quicker than syncing each of them.
const MANY_FILES: usize = 32;

/// One file for each row of the inventory.
pub(super) struct Resources {
    config: Config,
    binding: BindingName,
    term: Term,
    state: Option<State>,
    gate: Gate,
}

impl Resources {
    pub(super) fn new(config: Config, binding: BindingName, term: Term) -> Self {
        Self { config, binding, term, state: None, gate: Gate::default() }
    }

    fn not_connected(&self) -> SinkError {
        SinkError::Unreachable { message: format!("{} has not been read yet", self.config.describe()) }
    }

    /// Runs `work` on a blocking thread with what is known, which is kept after success only.
    async fn with_state<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut State) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let Some(mut state) = self.state.take() else { return Err(self.not_connected()) };
        let work = move || {
            let value = work(&mut state)?;
            Ok((state, value))
        };
        let (state, value) = self.gate.run(work).await?;
        self.state = Some(state);
        Ok(value)
    }
}

#[async_trait]
impl RowSink for Resources {
    async fn connect(&mut self) -> Result<(), SinkError> {
        self.state = None;
        let (config, binding, term) = (self.config.clone(), self.binding.clone(), self.term.clone());
        self.state = Some(self.gate.run(move || State::load(config, binding, &term)).await?);
        Ok(())
    }

    async fn held(&mut self) -> Result<BoxStream<'_, Result<HeldRow, SinkError>>, SinkError> {
        let state = self.state.as_ref().ok_or_else(|| self.not_connected())?;
        let rows =
            state.rows.iter().map(|(key, held)| Ok(HeldRow { key: key.parts().to_owned(), hash: held.row }));
        Ok(stream::iter(rows).boxed())
    }

    async fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        let changes = changes.to_vec();
        self.with_state(move |state| state.apply(&changes)).await
    }

    async fn clear(&mut self) -> Result<Receipt, SinkError> {
        self.with_state(State::clear).await
    }
}

/// A row's file.
struct Held {
    /// Below the root.
    path: Box<str>,
    /// The path that the row asks for, where it has another one because others ask for it too.
    plain: Option<Box<str>>,
    /// Stands for the path that the row asks for, in [`State::claims`].
    claim: u64,
    row: RowHash,
    file: FileHash,
}

impl Held {
    fn plain(&self) -> &str {
        self.plain.as_deref().unwrap_or(&self.path)
    }

    fn entry(&self, key: &Key) -> Entry {
        let row = RowEntry { key: key.clone(), hash: self.row, plain: self.plain.clone() };
        Entry { hash: self.file, content: Content::Row(row) }
    }
}

/// Notes the directory of a path.
fn touch(directories: &mut HashSet<String>, path: &str) {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if !directories.contains(directory) {
        directories.insert(directory.to_owned());
    }
}

struct State {
    config: Config,
    binding: BindingName,
    /// The directory of the inventory's rows, with a slash at its end.
    directory: String,
    root: Root,
    manifest: Manifest,
    rows: BTreeMap<Key, Held>,
    /// How many rows ask for a path. Two paths that a file system might take for one count as one.
    claims: HashMap<u64, u32>,
    hasher: RandomState,
}

/// A row to be written.
struct Planned<'a> {
    row: &'a Row,
    key: Key,
    path: String,
    plain: String,
    claim: u64,
}

impl State {
    fn load(config: Config, binding: BindingName, term: &Term) -> Result<Self, SinkError> {
        let mut root = Root::open(&config)?;
        let inventory = config.layout().inventory(&binding);
        let mut manifest = Manifest::new(config.layout(), &binding, term);
        let entries = manifest.load(&mut root)?;
        let hasher = RandomState::new();
        let mut rows: BTreeMap<Key, (usize, Held)> = BTreeMap::new();
        let mut stale = Vec::new();
        let mut listed_in_vain = false;
        for (path, (line, entry)) in entries {
            let Content::Row(row) = entry.content else {
                // The document of another layout.
                stale.push(path);
                continue;
            };
            // A file that is gone, or was never written, is as if it had not been listed.
            let Some(file) = root.hash(&path)? else {
                listed_in_vain = true;
                continue;
            };
            // Rows of another layout are to be written again, each when it is known; until then their files stay.
            let as_written = file == entry.hash && manifest.is_up_to_date();
            let plain = row.plain.filter(|plain| *plain != path);
            let held = Held {
                claim: hasher.hash_one(fold(plain.as_deref().unwrap_or(&path))),
                plain,
                row: if as_written { row.hash } else { RowHash(0) },
                file,
                path,
            };
            // After a crash a row may have two files: the later line tells which one is meant.
            match rows.entry(row.key) {
                std::collections::btree_map::Entry::Vacant(place) => _ = place.insert((line, held)),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    let other = if place.get().0 < line { place.insert((line, held)) } else { (line, held) };
                    stale.push(other.1.path);
                }
            }
        }
        let mut claims = HashMap::new();
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|(key, (_, held))| {
                *claims.entry(held.claim).or_default() += 1;
                (key, held)
            })
            .collect();
        for path in &stale {
            root.remove(path)?;
        }
        root.prune(stale.iter().map(|path| &**path))?;
        let mut state = Self {
            directory: format!("{inventory}/"),
            config,
            binding,
            root,
            manifest,
            rows,
            claims,
            hasher,
        };
        let changed = listed_in_vain || !stale.is_empty() || !state.manifest.is_up_to_date();
        if changed || state.manifest.is_worn(state.rows.len()) {
            state.rewrite_manifest()?;
        }
        Ok(state)
    }

    fn rewrite_manifest(&mut self) -> Result<(), SinkError> {
        let entries = self.rows.iter().map(|(key, held)| (&*held.path, held.entry(key)));
        self.manifest.rewrite(&mut self.root, entries)
    }

    fn clear(&mut self) -> Result<Receipt, SinkError> {
        self.rows.clear();
        self.claims.clear();
        clear(&mut self.root, &mut self.manifest)
    }

    fn shared(&self, claim: u64) -> bool {
        self.claims.get(&claim).is_some_and(|count| *count > 1)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<Receipt, SinkError> {
        self.root.begin();
        self.manifest.check(&mut self.root)?;
        let mut receipt = Receipt::default();
        // Claims as they were, of paths that somebody asks for from now on or no longer.
        let mut before: HashMap<u64, u32> = HashMap::new();
        let mut upserts = Vec::new();
        let mut deleted = Vec::new();
        for change in changes {
            let key = Key::new(change.key())?;
            let held = self.rows.get(&key);
            let old_claim = held.map(|held| held.claim);
            match change {
                Change::Delete(_) => {
                    let Some(claim) = old_claim else { continue };
                    self.claim(&mut before, claim, -1);
                    deleted.push(key);
                    receipt.deleted += 1;
                }
                Change::Upsert(row) => {
                    let (plain, claim) = self.plain(row);
                    match held {
                        Some(held) if held.row == row.hash() && held.plain() == plain => continue,
                        Some(_) => receipt.updated += 1,
                        None => receipt.inserted += 1,
                    }
                    if old_claim != Some(claim) {
                        if let Some(old) = old_claim {
                            self.claim(&mut before, old, -1);
                        }
                        self.claim(&mut before, claim, 1);
                    }
                    upserts.push(row);
                }
            }
        }
        if upserts.is_empty() && deleted.is_empty() {
            return Ok(receipt);
        }
        let moves = self.moves(&before, &upserts, &deleted)?;
        // Paths that their rows give up: others may take them over, and what is left in the end is removed.
        let mut leaving: HashSet<String> = HashSet::new();
        for key in &deleted {
            leaving.extend(self.rows.remove(key).map(|held| held.path.into()));
        }
        for row in &upserts {
            if let Some(held) = self.rows.get(&Key::new(row.key())?)
                && *held.path != *self.plan(row)?.path
            {
                leaving.insert(held.path.as_ref().into());
            }
        }

        let mut touched: HashSet<String> = HashSet::new();
        receipt.files_written += moves.len() as u64;
        self.make_moves(moves, &mut leaving, &mut touched)?;
        for chunk in upserts.chunks(FILES_AT_A_TIME) {
            receipt.files_written += chunk.len() as u64;
            let chunk: Vec<Planned<'_>> = chunk.iter().map(|row| self.plan(row)).collect::<Result<_, _>>()?;
            for planned in &chunk {
                let own = self.rows.get(&planned.key).is_some_and(|held| *held.path == *planned.path);
                if !leaving.remove(&planned.path) && !own {
                    self.root.refuse_foreign(&planned.path)?;
                }
                touch(&mut touched, &planned.path);
            }
            self.write(&chunk)?;
        }
        let mut lines = String::new();
        self.manifest.check(&mut self.root)?;
        for path in &leaving {
            self.manifest.check_clock()?;
            touch(&mut touched, path);
            receipt.files_removed += u64::from(self.root.remove(path)?);
            lines.push_str(&encode::del(path));
        }
        self.root.prune(leaving.iter().map(String::as_str))?;
        for directory in &touched {
            self.root.sync_directory(directory)?;
        }
        if !lines.is_empty() {
            self.manifest.append(&mut self.root, &lines, false)?;
        }
        if self.manifest.is_worn(self.rows.len()) {
            self.rewrite_manifest()?;
        }
        Ok(receipt)
    }

    /// The path that a row asks for, and what stands for it in the claims.
    fn plain(&self, row: &Row) -> (String, u64) {
        let path = self.config.layout().row(&self.binding, row.key(), row.gvk());
        let plain = format!("{}{path}", self.directory);
        let claim = self.hasher.hash_one(fold(&plain));
        (plain, claim)
    }

    /// Where a row goes, once all claims are counted.
    fn plan<'a>(&self, row: &'a Row) -> Result<Planned<'a>, SinkError> {
        let (plain, claim) = self.plain(row);
        let path =
            if self.shared(claim) { self.config.layout().distinct(&plain, row.key()) } else { plain.clone() };
        Ok(Planned { row, key: Key::new(row.key())?, path, plain, claim })
    }

    /// Counts one claim more or less.
    fn claim(&mut self, before: &mut HashMap<u64, u32>, claim: u64, by: i32) {
        let count = self.claims.entry(claim).or_default();
        before.entry(claim).or_insert(*count);
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.claims.remove(&claim);
        }
    }

    /// Rows that are not written but whose path others ask for too from now on, or no longer: their keys and new paths.
    fn moves(
        &self,
        before: &HashMap<u64, u32>,
        upserts: &[&Row],
        deleted: &[Key],
    ) -> Result<Vec<(Key, String)>, SinkError> {
        let contested: HashSet<u64> = before
            .iter()
            .filter(|(claim, count)| **count > 1 || self.shared(**claim))
            .map(|(claim, _)| *claim)
            .collect();
        if contested.is_empty() {
            return Ok(Vec::new());
        }
        let mut busy: HashSet<Key> = deleted.iter().cloned().collect();
        for row in upserts {
            busy.insert(Key::new(row.key())?);
        }
        let mut moves = Vec::new();
        for (key, held) in &self.rows {
            if !contested.contains(&held.claim) || busy.contains(key) {
                continue;
            }
            let plain = held.plain();
            let path = if self.shared(held.claim) {
                self.config.layout().distinct(plain, key.parts())
            } else {
                plain.to_owned()
            };
            if path != *held.path {
                moves.push((key.clone(), path));
            }
        }
        Ok(moves)
    }

    fn make_moves(
        &mut self,
        moves: Vec<(Key, String)>,
        leaving: &mut HashSet<String>,
        touched: &mut HashSet<String>,
    ) -> Result<(), SinkError> {
        if moves.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        let mut struck = String::new();
        let mut renames = Vec::with_capacity(moves.len());
        for (key, to) in moves {
            if !leaving.remove(&to) {
                self.root.refuse_foreign(&to)?;
            }
            let Some(held) = self.rows.get_mut(&key) else { continue };
            let plain = held.plain().to_owned();
            held.plain = (plain != to).then(|| plain.into());
            let from = std::mem::replace(&mut held.path, to.as_str().into());
            lines.push_str(&encode::put(&to, &held.entry(&key)));
            struck.push_str(&encode::del(&from));
            touch(touched, &from);
            touch(touched, &to);
            renames.push((from, to));
        }
        self.manifest.append(&mut self.root, &lines, true)?;
        for (from, to) in &renames {
            self.manifest.check_clock()?;
            self.root.rename(from, to)?;
        }
        self.root.prune(renames.iter().map(|(from, _)| &**from))?;
        self.manifest.append(&mut self.root, &struck, false)
    }

    fn write(&mut self, rows: &[Planned<'_>]) -> Result<(), SinkError> {
        let together = CAN_SYNC_EVERYTHING && rows.len() >= MANY_FILES;
        let mut files: Vec<Temporary> = Vec::with_capacity(rows.len());
        let mut lines = String::new();
        for planned in rows {
            let mut file = self.manifest.temporary(&mut self.root)?;
            let path = file.path().to_owned();
            write_row(&mut file, self.config.layout().format(), planned.row)
                .map_err(|error| failed("writing", &path, &error))?;
            let plain = (planned.plain != planned.path).then(|| planned.plain.as_str().into());
            let held = Held {
                path: planned.path.as_str().into(),
                plain,
                claim: planned.claim,
                row: planned.row.hash(),
                file: file.finish()?,
            };
            lines.push_str(&encode::put(&planned.path, &held.entry(&planned.key)));
            self.rows.insert(planned.key.clone(), held);
            if together {
                file.close();
            } else {
                file.sync()?;
            }
            files.push(file);
        }
        if together {
            self.root.sync_everything()?;
        }
        self.manifest.append(&mut self.root, &lines, true)?;
        for (file, planned) in files.into_iter().zip(rows) {
            self.manifest.check_clock()?;
            file.place(&mut self.root, &planned.path)?;
        }
        Ok(())
    }
}
