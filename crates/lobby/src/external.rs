//! Nodes without an agent: what is written here, and what others wrote, kept on disk.
//!
//! ```text
//! batches ─► next versions ─► journal (durable) ─► node task (published) ─► acknowledged
//! snapshots ─► what others wrote ─► journal
//! ```
//! Batches that wait are taken together and share a sync of the disk; each is computed upon those before it. What others
//! wrote is handed to the journal as it comes; what it cannot take is tried again with the next snapshot.
//! Not here: which version counts (`lobby_core::external`, the catalog), how versions travel (exchanges).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use imbl::{OrdMap, ordmap::DiffItem};
use lobby_core::{
    catalog::Snapshot,
    external::next,
    id::{NodeId, Origin},
    limits,
    name::Name,
    port::{
        CatalogReader,
        external::{Batch, ExternalError, NODES, Write},
    },
    record::Record,
    wire::binary,
};
use lobby_exchange::clock::unix_micros;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    node::Update,
    registry::journal::{AppendError, Journal, Limits, Pending},
    source::blocking,
    store::{Store, StoreError},
};

/// Batches taken at once.
const TOGETHER: usize = 64;

/// Most that a journal of all nodes holds: each may be as large as a record, but few are larger than a kilobyte.
const LIMITS: Limits = Limits { live_bytes: 64 << 20, ..Limits::DEFAULT };

/// What is on disk.
pub(crate) struct Disk {
    journal: Option<Journal>,
    /// What an earlier process kept.
    pub(crate) records: Vec<Arc<Record>>,
}

impl Disk {
    /// Opens the journal, if there is a data folder.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let Some(folder) = store.folder().map(Path::to_owned) else {
            return Ok(Self { journal: None, records: Vec::new() });
        };
        let opened = blocking(move || Journal::open(&folder.join("externals"), LIMITS)).await?;
        let records = opened.entries.values().filter_map(|value| binary::decode_record(value).ok());
        let records = records.filter(|record| record.is_external()).collect();
        Ok(Self { journal: Some(opened.journal), records })
    }
}

/// The task.
pub(crate) struct Externals {
    own: NodeId,
    journal: Option<Journal>,
    reader: CatalogReader,
    updates: mpsc::Sender<Update>,
    batches: mpsc::Receiver<Batch>,
    /// As the journal was told.
    saved: OrdMap<NodeId, Arc<Record>>,
    /// What it could not take.
    unsaved: BTreeSet<NodeId>,
}

/// A batch on its way to the disk.
struct Accepted {
    records: Vec<Arc<Record>>,
    pending: Vec<Pending>,
    answer: oneshot::Sender<Result<(), ExternalError>>,
}

impl Externals {
    pub(crate) fn new(
        own: NodeId,
        disk: Disk,
        reader: CatalogReader,
        updates: mpsc::Sender<Update>,
        batches: mpsc::Receiver<Batch>,
    ) -> Self {
        let saved = disk.records.into_iter().filter_map(|record| Some((record.origin.node_id()?, record))).collect();
        Self { own, journal: disk.journal, reader, updates, batches, saved, unsaved: BTreeSet::new() }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut batches = Vec::new();
            tokio::select! {
                () = stop.cancelled() => break,
                n_batches = self.batches.recv_many(&mut batches, TOGETHER) => match n_batches {
                    0 => break,
                    _ => self.carry_out(batches).await,
                },
                changed = self.reader.changed() => match changed {
                    Ok(snapshot) => self.save(&snapshot),
                    Err(_) => break,
                },
            }
        }
        if let Some(journal) = self.journal.take() {
            journal.close().await;
        }
    }

    async fn carry_out(&mut self, batches: Vec<Batch>) {
        let snapshot = self.reader.snapshot();
        let mut newest = HashMap::new();
        let mut accepted = Vec::new();
        for Batch { writes, answer } in batches {
            let records = compute(&snapshot, &newest, self.own, &writes);
            match records.and_then(|records| Ok((self.submit(&records)?, records))) {
                Ok((pending, records)) => {
                    newest.extend(records.iter().filter_map(|record| Some((record.origin.node_id()?, record.clone()))));
                    accepted.push(Accepted { records, pending, answer });
                }
                // Whoever asked may be gone.
                Err(err) => _ = answer.send(Err(err)),
            }
        }
        for Accepted { records, pending, answer } in accepted {
            let result = self.finish(records, pending).await;
            let _ = answer.send(result);
        }
    }

    /// Hands versions to the journal.
    fn submit(&mut self, records: &[Arc<Record>]) -> Result<Vec<Pending>, ExternalError> {
        let Some(journal) = &self.journal else { return Ok(Vec::new()) };
        let submit = |record: &Arc<Record>| journal.submit(key(record), Some(value(record)));
        let pending: Result<_, _> = records.iter().map(submit).collect();
        let pending = pending.map_err(|err| {
            self.unsaved.extend(records.iter().filter_map(|record| record.origin.node_id()));
            ExternalError::NotSaved(err.to_string().into())
        })?;
        for record in records {
            if let Some(id) = record.origin.node_id() {
                self.saved.insert(id, record.clone());
            }
        }
        Ok(pending)
    }

    /// Waits for the disk, then for the catalog.
    async fn finish(&mut self, records: Vec<Arc<Record>>, pending: Vec<Pending>) -> Result<(), ExternalError> {
        for pending in pending {
            if let Err(err) = pending.await {
                // What the disk has is not what we believe; the next snapshot sets it right.
                self.unsaved.extend(records.iter().filter_map(|record| record.origin.node_id()));
                return Err(ExternalError::NotSaved(err.to_string().into()));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let (told, shown) = oneshot::channel();
        self.updates.send(Update::Externals(records, told)).await.map_err(|_| ExternalError::Stopping)?;
        shown.await.map_err(|_| ExternalError::Stopping)
    }

    /// Keeps what others wrote, and forgets what the catalog has forgotten.
    fn save(&mut self, snapshot: &Snapshot) {
        let Some(journal) = &self.journal else { return };
        let mut changed: BTreeSet<_> = std::mem::take(&mut self.unsaved);
        for item in self.saved.diff(&snapshot.externals) {
            let (DiffItem::Add(id, _) | DiffItem::Remove(id, _) | DiffItem::Update { new: (id, _), .. }) = item;
            changed.insert(*id);
        }
        for id in changed {
            let record = snapshot.externals.get(&id);
            let key = Bytes::copy_from_slice(id.as_bytes());
            match journal.submit(key, record.map(|record| value(record))) {
                // The counters of the journal tell what becomes of it; nobody waits.
                Ok(_) => {}
                // Larger than anything that is written here.
                Err(AppendError::TooLong { .. }) => {}
                Err(err) => {
                    tracing::debug!(%err, "a node without an agent is saved later");
                    self.unsaved.insert(id);
                }
            }
        }
        self.saved = snapshot.externals.clone();
    }
}

/// The versions that these writes make, upon those of the snapshot and what was accepted after it.
fn compute(
    snapshot: &Snapshot,
    newest: &HashMap<NodeId, Arc<Record>>,
    own: NodeId,
    writes: &[Write],
) -> Result<Vec<Arc<Record>>, ExternalError> {
    if writes.len() > NODES {
        return Err(ExternalError::TooMany);
    }
    let mut made = BTreeMap::<NodeId, Arc<Record>>::new();
    let now = unix_micros();
    for Write { name, changes, seen } in writes {
        let id = NodeId::external(name);
        let old = made.get(&id).or_else(|| newest.get(&id)).or_else(|| snapshot.externals.get(&id));
        if seen.is_some_and(|seen| seen != old.map(|old| old.stamp)) {
            return Err(ExternalError::Changed(name.clone()));
        }
        if old.is_none() && snapshot.externals.len() + newest.len() + made.len() >= limits::EXTERNALS {
            return Err(ExternalError::TooMany);
        }
        let record = next(old.map(|old| &**old), name, own, now, changes);
        let record = record.map_err(|source| ExternalError::Set { name: name.clone(), source })?;
        let Some(record) = record else { continue };
        if !record.has_left() && has_agent(snapshot, name) {
            return Err(ExternalError::HasAgent(name.clone()));
        }
        made.insert(id, Arc::new(record));
    }
    Ok(made.into_values().collect())
}

/// Whether an agent runs on the node of this name.
fn has_agent(snapshot: &Snapshot, name: &Name) -> bool {
    let is_own = snapshot.local.record.name.as_str().eq_ignore_ascii_case(name.as_str());
    let is_agent = |origin: &Origin| {
        let node = snapshot.nodes.get(origin);
        node.is_some_and(|node| !node.external && origin.node_id().is_some() && node.state.is_listed())
    };
    is_own || snapshot.offers_by_name(name.as_str()).any(|offers| is_agent(&offers.node.origin))
}

fn key(record: &Record) -> Bytes {
    record.origin.node_id().map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

fn value(record: &Record) -> Bytes {
    let mut bytes = Vec::new();
    binary::encode_record(record, &mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests;
