//! A thousand senders of bare packets over one nats-server, three daemons: all are listed everywhere and none flaps.

use std::{collections::BTreeSet, time::Duration};

use lobby_testkit::{
    daemon::Daemon,
    server::{Server, nats},
};

use crate::{
    host::{CpuMeter, lobbyd, metric, mib, now, sleep_until},
    nats::{Publisher, packet},
};

const SENDERS: usize = 1_000;

/// The senders share connections, so that the usual 1 024 file descriptors are enough.
const CONNECTIONS: usize = 100;

/// KEEP_ALIVE of the old daemon.
const EVERY: Duration = Duration::from_secs(5);

const DAEMONS: usize = 3;

/// By then everybody has sent, and the daemons (old ones among the peers cannot be asked) are warm.
const SETTLED: Duration = Duration::from_secs(12);

pub(crate) fn run(seconds: u32) {
    let broker = nats::start("");
    let program = lobbyd();
    let start = |idx| {
        let builder = Daemon::build(&program, &format!("daemon-{idx}")).env("DRIVER", "nats");
        builder.env("NATS_URL", nats::url(&broker)).start()
    };
    let daemons: Vec<_> = (0..DAEMONS).map(start).collect();
    let mut sending = Sending::start(&broker);
    sending.run(SETTLED);

    let names: BTreeSet<_> = daemons[0].hosts().into_iter().collect();
    assert_eq!(names.len(), SENDERS + DAEMONS, "not everybody is listed after {SETTLED:?}");
    for daemon in &daemons {
        assert_eq!(daemon.get("/").header("x-lobby-warm"), Some("true"));
        assert!(daemon.hosts().into_iter().collect::<BTreeSet<_>>() == names, "the daemons list different hosts");
    }
    let revisions: Vec<_> = daemons.iter().map(revision).collect();
    let meters: Vec<_> = daemons.iter().map(|daemon| CpuMeter::start(&daemon.process)).collect();
    let received: Vec<_> = daemons.iter().map(n_received).collect();
    let mut flaps = [0; DAEMONS];
    for _ in 0..seconds.max(1) {
        sending.run(Duration::from_secs(1));
        for (idx, daemon) in daemons.iter().enumerate() {
            flaps[idx] += u32::from(revision(daemon) != revisions[idx]);
        }
    }

    println!("| daemon | packets/s | CPU of a core | RSS MiB | listed | flaps |\n|---|---|---|---|---|---|");
    for (idx, daemon) in daemons.iter().enumerate() {
        let (cpu, memory) = (meters[idx].percent(), mib(&daemon.process));
        let rate = (n_received(daemon) - received[idx]) as f64 / f64::from(seconds.max(1));
        println!("| {idx} | {rate:.0} | {cpu:.1} % | {memory:.1} | {} | {} |", daemon.hosts().len(), flaps[idx]);
        assert!(daemon.hosts().into_iter().collect::<BTreeSet<_>>() == names, "somebody was lost");
    }
    assert_eq!(flaps, [0; DAEMONS], "a list changed");
}

fn revision(daemon: &Daemon) -> String {
    let answer = daemon.get("/v1/discovery");
    answer.header("x-lobby-revision").expect("every answer has a revision").to_owned()
}

fn n_received(daemon: &Daemon) -> u64 {
    metric(daemon, "lobby_packets_received_total", &["exchange=\"nats\"", "kind=\"hi\""])
}

/// The senders, each of which speaks every five seconds, evenly spread.
struct Sending {
    connections: Vec<Publisher>,
    packets: Vec<String>,
    next: usize,
}

impl Sending {
    fn start(broker: &Server) -> Self {
        let connections = (0..CONNECTIONS).map(|_| Publisher::connect(broker.address)).collect();
        Self { connections, packets: (0..SENDERS).map(packet).collect(), next: 0 }
    }

    fn run(&mut self, time: Duration) {
        let (start, gap) = (now(), EVERY / SENDERS as u32);
        for step in 0.. {
            let at = gap * step;
            if at >= time {
                return sleep_until(start + time);
            }
            sleep_until(start + at);
            self.connections[self.next % CONNECTIONS].publish(&self.packets[self.next]);
            self.next = (self.next + 1) % SENDERS;
        }
    }
}
