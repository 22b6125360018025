//! `DATA_DIR/catalog`: the nodes we knew, for the time until somebody tells us who is there now.
//!
//! ```text
//! file = magic[16] saved_second[8, little endian] count (last_heard_second length record)* blake3[32]
//! ```
//! Numbers without a size are LEB128, a record is `lobby_core::wire::binary`. The file is replaced by rename; one that is
//! cut, damaged, of another version or older than a day is ignored with a warning: it is a convenience, never a truth.
//! A catalog that does not change is written all the same, each hour and at the stop: what counts is how old the knowledge
//! is, not the last change. Written on blocking threads, so that neither the node task nor a stop waits for a disk.
//! Not here: what becomes of the nodes that are read (`lobby_core::catalog`: stale until warm).

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lobby_core::{
    catalog::Snapshot,
    limits,
    port::CatalogReader,
    record::Record,
    stats::AgentStats,
    time::{Moment, Now, WallSecond},
    wire::binary::{self, DecodeError, Reader},
};
use lobby_exchange::{clock::Clock, file};
use tokio_util::sync::CancellationToken;

/// Says what the file is, and in which version.
const MAGIC: &[u8; 16] = b"lobby catalog 1\n";

/// Bytes of the checksum.
const CHECKSUM: usize = 32;

/// Largest file, written or read: 60 000 nodes of usual size, or 64 of the largest.
const FILE_BYTES: usize = 64 << 20;

/// How often a changed catalog is written.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How often one that has not changed is written: seldom enough to spare the disk, often enough that it is never near
/// [`MAX_AGE`].
const REFRESH_EVERY: Duration = Duration::from_secs(3600);

/// What is older tells nothing about who is there.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// A node from disk, and when it was last heard of then.
pub(crate) type Saved = (Arc<Record>, WallSecond);

/// Why a file is not used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what this program wrote, or not all of it.
    #[error("it is damaged, or of another version")]
    Damaged,
    /// Its checksum is right and its content is not: a defect of the program that wrote it.
    #[error("it is damaged: {0}")]
    Content(#[from] DecodeError),
    /// It was written this far from now.
    #[error("it is {0:?} old")]
    TooOld(Duration),
}

/// The nodes of the file; none, with a warning, when it cannot be used; none when there is none.
pub(crate) async fn load(path: PathBuf, now: Now) -> Vec<Saved> {
    let shown = path.display().to_string();
    let read =
        tokio::task::spawn_blocking(move || read(&path).and_then(|bytes| bytes.map_or(Ok(None), |b| decode(&b, now).map(Some))));
    match read.await {
        Ok(Ok(nodes)) => nodes.unwrap_or_default(),
        Ok(Err(err)) => {
            tracing::warn!(path = %shown, "the saved catalog is ignored: {err}");
            Vec::new()
        }
        Err(err) => {
            tracing::warn!(path = %shown, "the saved catalog is ignored: {err}");
            Vec::new()
        }
    }
}

/// Writes the catalog: every minute when it has changed, every hour when it has not, and at the stop.
pub(crate) async fn keep(path: PathBuf, reader: CatalogReader, clock: Clock, stats: Arc<AgentStats>, stop: CancellationToken) {
    let mut saved: Option<(Arc<Snapshot>, Moment)> = None;
    loop {
        let stopped = stop.run_until_cancelled(tokio::time::sleep(SAVE_EVERY)).await.is_none();
        let snapshot = reader.snapshot();
        let now = clock.now();
        let young = |at: &Moment| !stopped && now.moment.since(*at) < REFRESH_EVERY;
        let last = saved.as_ref().filter(|(_, at)| young(at)).map(|(saved, _)| &**saved);
        if is_worth_saving(&snapshot, last) {
            let (path, taken) = (path.clone(), snapshot.clone());
            let written = tokio::task::spawn_blocking(move || file::replace(&path, 0o600, &encode(&taken, now))).await;
            match written.map_err(io::Error::other).flatten() {
                Ok(()) => saved = Some((snapshot, now.moment)),
                Err(err) => {
                    tracing::warn!("the catalog could not be saved: {err}");
                    stats.catalog_saves_failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if stopped {
            return;
        }
    }
}

/// Whether nodes have changed since the last time, if that still counts. Before any exchange has told everything, the file knows more than we do.
fn is_worth_saving(snapshot: &Snapshot, saved: Option<&Snapshot>) -> bool {
    let known = snapshot.links.iter().any(|link| link.warm);
    known && saved.is_none_or(|saved| !saved.nodes.ptr_eq(&snapshot.nodes))
}

fn encode(snapshot: &Snapshot, now: Now) -> Vec<u8> {
    let others = snapshot.nodes.values().filter(|node| !node.own && !node.external && node.state.is_listed());
    let mut n_nodes = 0;
    let mut nodes = Vec::new();
    let mut bytes = Vec::new();
    for node in others.filter(|node| node.record.origin.node_id().is_some()) {
        bytes.clear();
        binary::encode_record(&node.record, &mut bytes);
        // Numbers take ten bytes at most.
        if MAGIC.len() + 8 + 10 + nodes.len() + 20 + bytes.len() + CHECKSUM > FILE_BYTES {
            break;
        }
        binary::put_varint(&mut nodes, node.last_check(now).0);
        binary::put_bytes(&mut nodes, &bytes);
        n_nodes += 1;
    }
    let mut file = MAGIC.to_vec();
    file.extend(now.wall.0.to_le_bytes());
    binary::put_varint(&mut file, n_nodes);
    file.append(&mut nodes);
    let checksum = blake3::hash(&file);
    file.extend(checksum.as_bytes());
    file
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES { Err(LoadError::Damaged) } else { Ok(Some(bytes)) }
}

fn decode(file: &[u8], now: Now) -> Result<Vec<Saved>, LoadError> {
    let (content, checksum) = file.split_last_chunk::<CHECKSUM>().ok_or(LoadError::Damaged)?;
    if blake3::hash(content).as_bytes() != checksum || !content.starts_with(MAGIC) {
        return Err(LoadError::Damaged);
    }
    let mut reader = Reader::new(&content[MAGIC.len()..]);
    let saved = WallSecond(u64::from_le_bytes(reader.array()?));
    // A clock that was set back makes the file young, not old: in either direction it must be near.
    let age = Duration::from_secs(now.wall.0.abs_diff(saved.0));
    if age > MAX_AGE {
        return Err(LoadError::TooOld(age));
    }
    let n_nodes = reader.count(limits::NODES)?;
    let mut nodes = Vec::new();
    for _ in 0..n_nodes {
        let heard = WallSecond(reader.varint()?);
        nodes.push((binary::decode_record(reader.bytes(limits::RECORD_BYTES)?)?, heard));
    }
    reader.finish()?;
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use lobby_core::{
        catalog::{Catalog, ExchangeSpec, Liveness},
        id::{ExchangeId, Generation, NodeId, Origin, Revision},
        local::LocalRecord,
        port::{Gone, PeerEvent},
        record::Stamp,
    };

    use super::*;

    const NOW: Now = Now { moment: Moment::from_micros(7_000_000), wall: WallSecond(1_700_000_000) };
    const NET: ExchangeId = ExchangeId(0);

    fn record(n: u8, label: &str) -> Arc<Record> {
        let mut local = LocalRecord::new(NodeId::from_bytes([n; 16]), Generation(1), format!("n{n}").parse().unwrap());
        local.set_labels([label.parse().unwrap()]);
        local.commit(Moment::ZERO).unwrap()
    }

    /// Ourselves, two living nodes, a failed one and a bare one.
    fn snapshot() -> Arc<Snapshot> {
        let spec = ExchangeSpec { name: "net".into(), liveness: Liveness::Reported };
        let mut catalog = Catalog::new(Revision(1), [spec], record(0, "own:1"), true, Duration::from_secs(60), NOW);
        let name: lobby_core::name::Name = "bare".parse().unwrap();
        let bare = Arc::new(Record::new(Origin::Bare(NET, name.clone()), name, Stamp::default()));
        for record in [record(1, "a:1"), record(2, "b:1"), record(3, "c:1"), bare] {
            catalog.apply(NET, PeerEvent::Record(record.clone()), NOW);
            catalog.apply(NET, PeerEvent::Seen(record.origin.clone(), Duration::ZERO), NOW);
        }
        catalog.apply(NET, PeerEvent::Gone(Origin::Node(NodeId::from_bytes([3; 16])), Gone::Failed), NOW);
        catalog.apply(NET, PeerEvent::Warm, NOW);
        catalog.poll_snapshot().unwrap()
    }

    #[test]
    fn living_nodes_with_an_id_are_saved_and_never_ourselves() {
        let nodes = decode(&encode(&snapshot(), NOW), NOW).unwrap();
        assert_eq!(nodes, [(record(1, "a:1"), NOW.wall), (record(2, "b:1"), NOW.wall)]);
    }

    #[test]
    fn a_file_cut_or_changed_at_any_byte_is_refused() {
        let whole = encode(&snapshot(), NOW);
        assert!(decode(&whole, NOW).is_ok());
        for at in 0..whole.len() {
            assert!(decode(&whole[..at], NOW).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x20;
            assert!(decode(&changed, NOW).is_err(), "changed at {at}");
        }
        assert!(decode(&[&whole[..], b"x"].concat(), NOW).is_err());
    }

    #[test]
    fn a_right_checksum_does_not_make_content_right() {
        let seal = |content: &[u8]| [content, blake3::hash(content).as_bytes()].concat();
        let whole = encode(&snapshot(), NOW);
        let content = &whole[..whole.len() - CHECKSUM];
        for at in 0..content.len() {
            assert!(decode(&seal(&content[..at]), NOW).is_err(), "cut at {at}");
        }
        let many = [&content[..24], &[0xff, 0xff, 0x7f]].concat();
        assert!(matches!(decode(&seal(&many), NOW), Err(LoadError::Content(_))), "more nodes than a catalog holds");
    }

    #[test]
    fn a_file_from_another_day_is_refused_in_both_directions() {
        let whole = encode(&snapshot(), NOW);
        let at = |wall: u64| Now { wall: WallSecond(wall), ..NOW };
        let day = MAX_AGE.as_secs();
        for (wall, is_good) in [(0, true), (day, true), (day + 1, false)] {
            assert_eq!(decode(&whole, at(NOW.wall.0 + wall)).is_ok(), is_good, "{wall} later");
            assert_eq!(decode(&whole, at(NOW.wall.0 - wall)).is_ok(), is_good, "{wall} earlier");
        }
    }

    #[tokio::test]
    async fn no_file_is_no_nodes_and_a_bad_one_is_named() {
        let log = crate::captured::Log::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog");
        assert!(load(path.clone(), NOW).await.is_empty());
        assert_eq!(log.text(), "");
        std::fs::write(&path, b"lobby catalog 9\n").unwrap();
        assert!(load(path, NOW).await.is_empty());
        assert!(log.text().contains("is ignored"), "{}", log.text());
    }

    #[test]
    fn what_is_not_warm_or_the_same_is_not_saved() {
        let snapshot = snapshot();
        assert!(is_worth_saving(&snapshot, None));
        assert!(!is_worth_saving(&snapshot, Some(&snapshot)));
        let mut cold = (*snapshot).clone();
        cold.links = Arc::from([]);
        assert!(!is_worth_saving(&cold, None));
    }
}
