//! For tests: a disk in memory that knows what a crash would leave, and fails where it is told to.
//!
//! Content and names are kept twice: as programs see them, and as they are durable. Each fallible step can be made to fail a
//! number of times (`fail`), or by a row of dice that is gone through again and again (`dice`). Syncs can be held at a gate.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use bytes::Bytes;

use super::{
    disk::{Disk, DiskFile},
    entry,
};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write,
    Truncate,
    Sync,
    Draft,
    Publish,
    Folder,
    Aside,
}

/// What a crash leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crash {
    /// Everything: only the process was killed.
    Process,
    /// What was synced.
    Power,
    /// What was synced and at most so many bytes that were appended since, with the names as programs saw them.
    Part(usize),
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    files: Vec<Content>,
    /// File of each name, as seen and as durable.
    names: BTreeMap<&'static str, usize>,
    durable_names: BTreeMap<&'static str, usize>,
    aside: Option<Vec<u8>>,
    n_syncs: usize,
    failing: Vec<(Step, usize)>,
    dice: VecDeque<u8>,
    is_gate_shut: bool,
    n_held: usize,
}

#[derive(Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

impl Fake {
    /// A disk with this journal.
    pub(super) fn with(content: Vec<u8>) -> Self {
        let fake = Self::default();
        fake.set(content);
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn set(&self, content: Vec<u8>) {
        let mut state = self.state();
        state.files = vec![Content { seen: content.clone(), durable: content }];
        state.names = [("journal", 0)].into();
        state.durable_names = state.names.clone();
    }

    /// The next steps of this kind fail, so many times; writes and syncs leave what they can.
    pub(super) fn fail(&self, step: Step, times: usize) {
        self.state().failing.push((step, times));
    }

    /// Below 200 a step succeeds; from 228 on it takes effect, in part or in whole, and fails all the same.
    pub(super) fn dice(&self, dice: &[u8]) {
        self.state().dice = dice.iter().copied().collect();
    }

    pub(super) fn n_syncs(&self) -> usize {
        self.state().n_syncs
    }

    pub(super) fn has_draft(&self) -> bool {
        self.state().names.contains_key("draft")
    }

    pub(super) fn aside(&self) -> Option<Vec<u8>> {
        self.state().aside.clone()
    }

    /// The journal as programs see it.
    pub(super) fn content(&self) -> Vec<u8> {
        let state = self.state();
        state.names.get("journal").map(|file| state.files[*file].seen.clone()).unwrap_or_default()
    }

    /// What a replay would find after a power cut now.
    pub(super) fn durable(&self) -> BTreeMap<Bytes, Bytes> {
        replay(&self.image(Crash::Power))
    }

    pub(super) fn crash(&self, crash: Crash) {
        // What a killed process wrote is as durable as it was before.
        if !matches!(crash, Crash::Process) {
            self.set(self.image(crash));
        }
    }

    fn image(&self, crash: Crash) -> Vec<u8> {
        let state = self.state();
        let names = if matches!(crash, Crash::Power) { &state.durable_names } else { &state.names };
        let Some(file) = names.get("journal") else { return Vec::new() };
        let Content { seen, durable } = &state.files[*file];
        match crash {
            Crash::Process => seen.clone(),
            Crash::Part(most) if seen.starts_with(durable) => seen[..seen.len().min(durable.len() + most)].to_vec(),
            Crash::Power | Crash::Part(_) => durable.clone(),
        }
    }

    /// From now on syncs wait until the gate is opened.
    pub(super) fn shut_gate(&self) {
        self.state().is_gate_shut = true;
    }

    pub(super) fn open_gate(&self) {
        self.state().is_gate_shut = false;
        self.0.1.notify_all();
    }

    /// Returns when a sync waits at the gate.
    pub(super) fn wait_held(&self) {
        drop(self.0.1.wait_while(self.state(), |state| state.n_held == 0).unwrap());
    }

    fn make(&self, name: &'static str) -> FakeFile {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name, file);
        FakeFile { fake: self.clone(), file }
    }
}

impl State {
    /// Whether this step fails, and then whether it takes effect nevertheless.
    fn step(&mut self, step: Step) -> Result<(), (io::Error, bool)> {
        if let Some((_, times)) = self.failing.iter_mut().find(|(failing, times)| *failing == step && *times > 0) {
            *times -= 1;
            return Err((io::ErrorKind::StorageFull.into(), true));
        }
        self.dice.rotate_left(usize::from(!self.dice.is_empty()));
        match self.dice.back() {
            Some(200..228) => Err((io::ErrorKind::StorageFull.into(), false)),
            Some(228..) => Err((io::Error::other("some"), true)),
            _ => Ok(()),
        }
    }

    /// For steps that fail without an effect.
    fn whole(&mut self, step: Step) -> io::Result<()> {
        self.step(step).map_err(|(err, _)| err)
    }
}

pub(super) fn replay(content: &[u8]) -> BTreeMap<Bytes, Bytes> {
    let mut entries = BTreeMap::new();
    entry::scan(content, |entry| {
        let key = Bytes::copy_from_slice(entry.key);
        match entry.value {
            Some(value) => entries.insert(key, Bytes::copy_from_slice(value)),
            None => entries.remove(&key),
        };
    });
    entries
}

impl Disk for Fake {
    type File = FakeFile;

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        Ok(state.names.get("journal").map(|file| state.files[*file].seen.clone()))
    }

    fn open(&mut self) -> io::Result<FakeFile> {
        let file = self.state().names.get("journal").copied();
        Ok(file.map_or_else(|| self.make("journal"), |file| FakeFile { fake: self.clone(), file }))
    }

    fn set_aside(&mut self, rest: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.whole(Step::Aside)?;
        state.aside = Some(rest.to_vec());
        Ok(())
    }

    fn make_draft(&mut self) -> io::Result<FakeFile> {
        self.state().whole(Step::Draft)?;
        Ok(self.make("draft"))
    }

    fn publish_draft(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.whole(Step::Publish)?;
        let file = state.names.remove("draft").ok_or(io::ErrorKind::NotFound)?;
        state.names.insert("journal", file);
        Ok(())
    }

    fn discard_draft(&mut self) {
        self.state().names.remove("draft");
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.whole(Step::Folder)?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

pub(super) struct FakeFile {
    fake: Fake,
    file: usize,
}

impl DiskFile for FakeFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.fake.state();
        let (bytes, result) = match state.step(Step::Write) {
            Ok(()) => (bytes, Ok(())),
            Err((err, is_short)) => (&bytes[..if is_short { bytes.len() * 2 / 3 } else { 0 }], Err(err)),
        };
        let seen = &mut state.files[self.file].seen;
        let at = usize::try_from(at).unwrap();
        assert!(at <= seen.len(), "nobody leaves a hole");
        let end = seen.len().max(at + bytes.len());
        seen.resize(end, 0);
        seen[at..at + bytes.len()].copy_from_slice(bytes);
        result
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.fake.state();
        state.whole(Step::Truncate)?;
        state.files[self.file].seen.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.fake.state();
        state.n_held += 1;
        self.fake.0.1.notify_all();
        state = self.fake.0.1.wait_while(state, |state| state.is_gate_shut).unwrap();
        state.n_held -= 1;
        state.n_syncs += 1;
        let result = state.step(Step::Sync);
        let content = &mut state.files[self.file];
        if !matches!(result, Err((_, false))) {
            content.durable = content.seen.clone();
        }
        result.map_err(|(err, _)| err)
    }
}
