//! An exchange through a shared folder: each agent keeps one file up to date and reads the files of the others.
//!
//! This is the worked example of docs/exchanges.md, and the contract suite runs on it. Try it in two terminals:
//! `cargo run -p lobby-exchange --example dir_exchange -- /tmp/lobby NAME`
//!
//! ```text
//! FOLDER/NODE-ID.json    the node's packet, as on NATS: hi, rewritten every KEEP_ALIVE; goodbye when it has left
//! ```
//! A node is alive for TTL after its file last changed. A file nobody has changed for an hour is removed by whoever sees it.
//! Not here: asking. A folder holds the whole picture at any time, so a newcomer is warm after its first look.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use lobby_core::{
    id::{ExchangeId, NodeId, Origin},
    limits,
    port::{Announcement, LinkState, NodeEnded, PeerEvent, PeerLink},
    proof::Checker,
    stats::{PacketKind, Verdict},
    wire::packet::{self, Message},
};
use lobby_exchange::{Exchange, ExchangeError, clock};
use tokio_util::sync::CancellationToken;

/// Largest file that is written or read.
const MAX_BYTES: usize = limits::RECORD_BYTES;

/// Files read in one look; further ones wait for the next.
const FILES: usize = limits::NODES;

/// Age at which a file is removed.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// The exchange through a folder.
#[derive(Clone, Debug)]
pub struct Dir {
    /// The folder, shared by all agents of the cluster.
    pub folder: PathBuf,
    /// The cluster's name; files of another one are dropped.
    pub cluster: String,
    /// How often our file is rewritten.
    pub keep_alive: Duration,
    /// How often the folder is looked at.
    pub look_every: Duration,
    /// The agent's clock.
    pub clock: clock::Clock,
}

impl Exchange for Dir {
    async fn run(self, mut link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        let mut seen = Seen::default();
        let mut write_at = self.clock.moment();
        loop {
            // 1. Our own file: at the start, after every change, and every KEEP_ALIVE.
            let announced = link.announcement.borrow_and_update().clone();
            let mut reached = true;
            if self.clock.moment() >= write_at {
                reached = self.write(&announced, &link).await.is_ok();
                if reached {
                    write_at = self.clock.moment() + self.keep_alive;
                }
            }
            // 2. The files of the others.
            if self.look(&mut seen, reached, &link).await.is_err() {
                return Ok(());
            }
            // 3. Whatever comes first.
            tokio::select! {
                () = stop.cancelled() => break,
                changed = link.announcement.changed() => match changed {
                    Ok(()) => write_at = self.clock.moment(),
                    Err(_) => return Ok(()),
                },
                // Nobody can be asked through a folder; the next look is all there is.
                Some(_) = link.questions.recv() => {}
                () = tokio::time::sleep(self.look_every) => {}
            }
        }
        let announced = link.announcement.borrow_and_update().clone();
        if announced.record.is_last() {
            let _ = self.write(&announced, &link).await;
        }
        Ok(())
    }
}

impl Dir {
    /// Writes our packet beside our file and moves it there, so that nobody reads half of it.
    async fn write(&self, announced: &Announcement, link: &PeerLink) -> io::Result<()> {
        let Announcement { record, listed: true, .. } = announced else { return Ok(()) };
        let id = record.origin.node_id().expect("our own record has a node id");
        let (message, kind) = match record.has_left() {
            true => (Message::Goodbye, PacketKind::Goodbye),
            false => (Message::Hi, PacketKind::Hi),
        };
        let bytes = packet::encode(record, message, &self.cluster, self.clock.now().wall);
        let n_bytes = bytes.len();
        if n_bytes > MAX_BYTES {
            link.stats.sent(kind, Verdict::Oversize, 0);
            return Ok(());
        }
        let written = blocking(self.folder.clone(), move |folder| {
            let fresh = folder.join(format!("{id}.new"));
            fs::write(&fresh, bytes)?;
            fs::rename(fresh, folder.join(format!("{id}.json")))
        });
        let written = written.await;
        link.stats.sent(kind, if written.is_ok() { Verdict::Ok } else { Verdict::Failed }, n_bytes);
        written
    }

    /// Tells the node task of every file that has changed since the last look, and of the state of the folder.
    async fn look(&self, seen: &mut Seen, reached: bool, link: &PeerLink) -> Result<(), NodeEnded> {
        let known = std::mem::take(&mut seen.files);
        let news = blocking(self.folder.clone(), move |folder| read_changed(folder, known)).await;
        let (files, changed) = match news {
            Ok(news) if reached => news,
            Ok((files, _)) => return self.tell_down(seen, files, "our file cannot be written".into(), link).await,
            Err(err) => return self.tell_down(seen, HashMap::new(), err.to_string().into(), link).await,
        };
        seen.files = files;
        if seen.link != Some(true) {
            seen.link = Some(true);
            link.tell(PeerEvent::Link(LinkState::Up)).await?;
        }
        for file in changed {
            self.tell_file(file, link).await?;
        }
        if !std::mem::replace(&mut seen.warm, true) {
            link.tell(PeerEvent::Warm).await?;
        }
        Ok(())
    }

    async fn tell_down(&self, seen: &mut Seen, files: Files, why: Arc<str>, link: &PeerLink) -> Result<(), NodeEnded> {
        seen.files = files;
        if seen.link.replace(false) == Some(true) {
            link.stats.reconnected();
            link.tell(PeerEvent::Link(LinkState::Down { why })).await?;
        }
        Ok(())
    }

    async fn tell_file(&self, file: File, link: &PeerLink) -> Result<(), NodeEnded> {
        let own: Option<NodeId> = link.announcement.borrow().record.origin.node_id();
        let incoming = match packet::decode(&file.bytes, link.exchange) {
            Ok(incoming) => incoming,
            Err(_) => {
                link.stats.received(PacketKind::Hi, Verdict::Garbage, file.bytes.len());
                return Ok(());
            }
        };
        let verdict = match &incoming.cluster {
            Some(cluster) if *cluster != self.cluster => Verdict::Foreign,
            _ if incoming.record.origin.node_id() == own => Verdict::Own,
            _ => incoming.check(&Checker::new(&self.cluster)).map_or_else(Verdict::from, |()| Verdict::Ok),
        };
        link.stats.received(PacketKind::Hi, verdict, file.bytes.len());
        if verdict != Verdict::Ok {
            return Ok(());
        }
        let origin: Origin = incoming.record.origin.clone();
        // Who leaves or restarts says so in the record, and is not seen any more.
        let is_last = incoming.record.is_last();
        link.tell(PeerEvent::Record(incoming.record)).await?;
        if is_last { Ok(()) } else { link.tell(PeerEvent::Seen(origin, file.age)).await }
    }
}

/// What this exchange remembers between two looks.
#[derive(Default)]
struct Seen {
    link: Option<bool>,
    warm: bool,
    files: Files,
}

/// When each file was last changed, microseconds since 1970.
type Files = HashMap<PathBuf, u64>;

/// A file that has changed, and how long ago.
struct File {
    bytes: Vec<u8>,
    age: Duration,
}

fn read_changed(folder: &Path, known: Files) -> io::Result<(Files, Vec<File>)> {
    let now = clock::unix_micros();
    let (mut files, mut changed) = (Files::new(), Vec::new());
    for entry in fs::read_dir(folder)?.take(FILES) {
        let path = entry?.path();
        // A file that is gone again, or cannot be read, is none of ours.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if path.extension().is_none_or(|extension| extension != "json") || meta.len() > MAX_BYTES as u64 {
            continue;
        }
        let since_1970 = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        let age = Duration::from_micros(now.saturating_sub(at));
        if age > FORGOTTEN {
            let _ = fs::remove_file(&path);
            continue;
        }
        if known.get(&path) != Some(&at)
            && let Ok(bytes) = fs::read(&path)
        {
            changed.push(File { bytes, age });
        }
        files.insert(path, at);
    }
    Ok((files, changed))
}

/// File systems shared over a network may take their time: off the async threads with it.
async fn blocking<T: Send + 'static>(
    folder: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(move || work(&folder)).await.unwrap_or_else(|err| Err(io::Error::other(err)))
}

/// A small agent: announces NAME and prints what it hears, until it is killed.
#[tokio::main]
async fn main() {
    use lobby_core::{
        catalog::{Catalog, ExchangeSpec, Liveness},
        id::{Generation, Revision},
        local::LocalRecord,
        port::{self, CatalogReader},
        proof::Signer,
    };
    use tokio::sync::{mpsc, watch};

    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(name)) = (args.next(), args.next()) else { panic!("usage: dir_exchange FOLDER NAME") };
    fs::create_dir_all(&folder).expect("the folder can be made");
    let clock = clock::Clock::start();
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the system has randomness");
    let signer = Arc::new(Signer::new(&secret, "lobby"));
    let name = name.parse().expect("NAME is a host name");
    let record = LocalRecord::signed(signer.clone(), Generation(clock::unix_micros()), name).record().clone();

    let spec = ExchangeSpec { name: "dir".into(), liveness: Liveness::Ttl(Duration::from_secs(30)) };
    let mut catalog = Catalog::new(Revision(0), [spec], record.clone(), true, Duration::from_secs(60), clock.now());
    let (_announce, announcement) = watch::channel(Announcement::new(record, true));
    let (_ask, questions) = mpsc::channel(port::QUESTIONS);
    let (events, mut heard) = mpsc::channel(port::EVENTS);
    let (_publish, snapshots) = watch::channel(catalog.poll_snapshot().expect("a new catalog has a snapshot"));
    let (reader, stats) = (CatalogReader::new(snapshots), Arc::default());
    let link = PeerLink::new(ExchangeId(0), announcement, questions, reader, stats, signer, events);
    let every = Duration::from_secs(1);
    let dir = Dir { folder: folder.into(), cluster: "lobby".into(), keep_alive: every * 5, look_every: every, clock };
    tokio::spawn(dir.run(link, CancellationToken::new()));
    while let Some((_, event)) = heard.recv().await {
        println!("{event:?}");
    }
}
