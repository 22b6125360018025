//! What an exchange counts (packets by direction, kind and verdict, the depth of its queues), what agent and
//! registry count.
//!
//! Plain atomics, so that counting needs no lock and reading needs no message; a lock for what never happens among honest
//! agents. The shells count, `/metrics` reads.
//! Not here: the text form of metrics (`lobby-http::metrics`).

mod culprits;
mod proxy;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::proof::Forged;

pub use culprits::{Culprits, MOST_CULPRITS};
pub use proxy::{ProxyBackends, ProxyCounts, ProxyOutput};

/// Declares an enum with all its values and their names in metrics.
#[macro_export]
macro_rules! named {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// What a packet is.
    pub PacketKind {
        /// A record, whole or as keep-alive (NATS, Redis).
        Hi = "hi",
        /// A goodbye.
        Goodbye = "goodbye",
        /// A request for the whole catalog, or for one node.
        Ask = "ask",
        /// A part of a catalog.
        Answer = "answer",
        /// A gossip datagram.
        Datagram = "datagram",
        /// A gossip stream.
        Stream = "stream",
        /// A record or delta inside a gossip datagram or stream.
        Record = "record",
        /// A member that a gossip rumour or exchange tells of; only those above the bound are counted.
        Member = "member",
        /// A user event inside a gossip datagram or stream.
        Event = "event",
        /// A query inside a gossip datagram.
        Query = "query",
    }
}

named! {
    /// What became of a packet.
    pub Verdict {
        /// Sent, or received and used.
        Ok = "ok",
        /// Our own packet came back.
        Own = "own",
        /// Nothing new in it.
        Stale = "stale",
        /// Not decodable, or of an unknown kind.
        Garbage = "garbage",
        /// Some of its labels or entries broke their rules and were left out.
        Trimmed = "trimmed",
        /// Larger than the exchange carries.
        Oversize = "oversize",
        /// Of another cluster.
        Foreign = "foreign",
        /// Encrypted or sealed with a key that is not ours.
        WrongKey = "wrong_key",
        /// Encrypted with a key that was ours and is not any more.
        OldKey = "old_key",
        /// Not encrypted or sealed although it should be.
        NoKey = "no_key",
        /// Cut short.
        Truncated = "truncated",
        /// Seen before.
        Replayed = "replayed",
        /// Of a sender that has not shown yet that it lives now: it may be a recording.
        Unproven = "unproven",
        /// Above the rate one origin may have, or above the number of nodes a catalog may have.
        Refused = "refused",
        /// Of a node with an id, and not signed.
        Unsigned = "unsigned",
        /// Signed by somebody else, or changed after it was signed.
        Forged = "forged",
        /// The exchange could not send it, or the link broke.
        Failed = "failed",
    }
}

impl From<Forged> for Verdict {
    fn from(why: Forged) -> Self {
        match why {
            Forged::Unsigned => Self::Unsigned,
            Forged::WrongKey | Forged::BadSignature => Self::Forged,
        }
    }
}

named! {
    /// Something whose depth has a bound.
    pub Queue {
        /// Events on their way from exchanges to the node task.
        Events = "events",
        /// Changes waiting to be sent.
        Send = "send",
        /// Streams open at the same time.
        Streams = "streams",
        /// Member rumours waiting for a packet with room.
        Rumours = "rumours",
        /// Commands of people that wait for the exchange.
        Commands = "commands",
        /// Queries of others that wait for whoever answers them.
        Queries = "queries",
        /// Queries of others whose answer we still owe.
        Unanswered = "unanswered",
        /// Streams over which others watch us.
        Kept = "kept",
        /// Attempts to connect that find out whether anything listens.
        Knocks = "knocks",
        /// What streams have read and the exchange has not taken yet.
        StreamEvents = "stream_events",
    }
}

/// What DNS has counted since the start, by the names that it has in metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// What has happened.
    pub events: Vec<(&'static str, u64)>,
    /// Answers by how they end.
    pub answers: Vec<(&'static str, u64)>,
    /// Requests that were none, by what is wrong with them.
    pub malformed: Vec<(&'static str, u64)>,
    /// TCP connections that are open.
    pub connections: u64,
}

/// What the registry has counted since the start, read all at once. What is registered, its view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryCounts {
    /// Checks that were carried out.
    pub runs: u64,
    /// Those of them that began more than a second late.
    pub late_runs: u64,
    /// Instances that were taken away because they were critical for too long, or their process or connection had ended.
    pub taken_away: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Jobs that are under way or wait for another one.
    pub jobs: u64,
    /// What the journal counts; `None` without a data folder.
    pub journal: Option<JournalCounts>,
}

/// What the journal of registrations has counted since the start, and how large it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Entries acknowledged.
    pub appended: u64,
    /// Entries refused, by a full journal or by the disk.
    pub refused: u64,
    /// Groups of entries made durable, each by one sync.
    pub commits: u64,
    /// Groups of entries that the disk refused.
    pub commits_failed: u64,
    /// Failed attempts to replace the file by a shorter one.
    pub compactions_failed: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes it would have with what still counts alone.
    pub live_bytes: u64,
}

const N_KINDS: usize = PacketKind::ALL.len();
const N_VERDICTS: usize = Verdict::ALL.len();

/// The counters of one exchange.
#[derive(Debug, Default)]
pub struct Stats {
    received: [[AtomicU64; N_VERDICTS]; N_KINDS],
    sent: [[AtomicU64; N_VERDICTS]; N_KINDS],
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    reconnects: AtomicU64,
    depths: [(AtomicU64, AtomicU64); Queue::ALL.len()],
    /// Records that their owners did not write, by the member that delivered them, as far as it is known who did.
    pub forged: Culprits,
    /// Events and queries so far ahead in time that no honest member hands them on, by the member that delivered them.
    pub refused_posts: Culprits,
}

impl Stats {
    /// Counts one received packet (or stream, or record) of `bytes` bytes.
    pub fn received(&self, kind: PacketKind, verdict: Verdict, bytes: usize) {
        self.received[kind as usize][verdict as usize].fetch_add(1, Ordering::Relaxed);
        self.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts one sent packet of `bytes` bytes.
    pub fn sent(&self, kind: PacketKind, verdict: Verdict, bytes: usize) {
        self.sent[kind as usize][verdict as usize].fetch_add(1, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts one lost connection that is tried again.
    pub fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how full a queue is and how full it may be.
    pub fn depth(&self, queue: Queue, depth: usize, bound: usize) {
        let (now, most) = &self.depths[queue as usize];
        now.store(depth as u64, Ordering::Relaxed);
        most.store(bound as u64, Ordering::Relaxed);
    }

    /// Received packets that are not zero in number.
    pub fn received_counts(&self) -> impl Iterator<Item = (PacketKind, Verdict, u64)> {
        counts(&self.received)
    }

    /// Sent packets that are not zero in number.
    pub fn sent_counts(&self) -> impl Iterator<Item = (PacketKind, Verdict, u64)> {
        counts(&self.sent)
    }

    /// How many packets of this kind had this verdict on arrival.
    pub fn received_count(&self, kind: PacketKind, verdict: Verdict) -> u64 {
        self.received[kind as usize][verdict as usize].load(Ordering::Relaxed)
    }

    /// Bytes received and sent.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_received.load(Ordering::Relaxed), self.bytes_sent.load(Ordering::Relaxed))
    }

    /// How often the connection was lost and tried again.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Depth and bound of each queue that this exchange has.
    pub fn depths(&self) -> impl Iterator<Item = (Queue, u64, u64)> {
        let read = |queue: &Queue| {
            let (now, most) = &self.depths[*queue as usize];
            (*queue, now.load(Ordering::Relaxed), most.load(Ordering::Relaxed))
        };
        Queue::ALL.iter().map(read).filter(|(_, _, bound)| *bound > 0)
    }
}

fn counts(table: &[[AtomicU64; N_VERDICTS]; N_KINDS]) -> impl Iterator<Item = (PacketKind, Verdict, u64)> {
    PacketKind::ALL.iter().flat_map(move |kind| {
        let row = &table[*kind as usize];
        let read = move |verdict: &Verdict| (*kind, *verdict, row[*verdict as usize].load(Ordering::Relaxed));
        Verdict::ALL.iter().map(read).filter(|(_, _, count)| *count > 0)
    })
}

/// What the agent itself counts, beside its exchanges. The node task, the hooks and the handlers write, `/metrics` reads.
#[derive(Debug, Default)]
pub struct AgentStats {
    /// Longest turn of the node task so far, microseconds.
    pub longest_turn_us: AtomicU64,
    /// Last turn of the node task, microseconds.
    pub last_turn_us: AtomicU64,
    /// How late the node task noticed its last deadline, microseconds.
    pub last_lag_us: AtomicU64,
    /// How late it noticed a deadline at worst, microseconds.
    pub longest_lag_us: AtomicU64,
    /// Events from exchanges that brought nothing new.
    pub events_stale: AtomicU64,
    /// Events refused because the catalog is full.
    pub events_refused: AtomicU64,
    /// Records that came in under our own id but were not made by us.
    pub own_conflicts: AtomicU64,
    /// Times that an exchange was doubted because most of its nodes fell silent at once.
    pub holds: AtomicU64,
    /// Labels of files or the environment that broke their rules or were over the limit, at the last reading.
    pub labels_refused: AtomicU64,
    /// Runs of CALLBACK and hooks that ended with status 0.
    pub hooks_succeeded: AtomicU64,
    /// Runs that ended otherwise or could not start.
    pub hooks_failed: AtomicU64,
    /// Runs that were killed at their deadline.
    pub hooks_timed_out: AtomicU64,
    /// Runs of event handlers that ended with status 0.
    pub handlers_succeeded: AtomicU64,
    /// Runs of event handlers that ended otherwise or could not start.
    pub handlers_failed: AtomicU64,
    /// Runs of event handlers that were killed at their deadline.
    pub handlers_timed_out: AtomicU64,
    /// User events that left the log before a busy handler came to them.
    pub handlers_events_dropped: AtomicU64,
    /// Queries that found the queue of a busy handler full, or whose time was over before it came to them.
    pub handlers_queries_dropped: AtomicU64,
    /// The catalog could not be written to disk.
    pub catalog_saves_failed: AtomicU64,
}

/// What the files that follow the catalog have come to, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TemplateCounts {
    /// Templates in use, now.
    pub templates: u64,
    /// Those of them that wait for an answer, now.
    pub waiting: u64,
    /// Evaluations of templates.
    pub evaluations: u64,
    /// Files that were put in place.
    pub writes: u64,
    /// Commands that were run.
    pub commands: u64,
    /// Templates, files, checks and commands that failed.
    pub failures: u64,
    /// Files that were put back because their command failed.
    pub roll_backs: u64,
    /// Renderings that waited because of the cap.
    pub delayed: u64,
}
