//! The first look at a program: each of its checks must pass once, so that nobody hears of it before.
//!
//! ```text
//! check as the daemon is told it ─► Look ─► passes: run here, again and again, by the code that the agent runs it with
//! ```
//! Run here and not by the agent, which shows to everybody what is registered with it. What another instance decides
//! (`alias`) is asked of the agent; a check that the program reports to itself (`ttl`) cannot pass before it is registered.
//! Never final: from the registration on the agent carries the checks out.

use std::time::Duration;

use lobby::{
    client::{Client, ClientError, Status},
    core::{
        check::{kind::Kind, spec::ShortIntervals},
        wire::definition::{self, Context, DefinitionError},
    },
    probe,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::failure::say;

/// Between the first two looks: a program that starts in a moment is there in a moment. Then twice that each time.
const TURN: Duration = Duration::from_millis(50);

/// Between two looks at most, also where the check itself has a longer interval: somebody waits for it.
const LONGEST: Duration = Duration::from_secs(1);

/// A datagram is refused at once or not at all, and that it is not refused is known when the time is up.
const REFUSED: Duration = Duration::from_secs(1);

/// After so long somebody wonders why the program is not registered.
const SILENT: Duration = Duration::from_secs(10);

/// Most bytes that are told of what a check says.
const SAID: usize = 200;

/// What must pass.
#[derive(Debug)]
pub(crate) enum Look {
    /// A check that is run.
    Run {
        /// What it looks at.
        kind: Box<Kind>,
        /// How long one run may take.
        within: Duration,
        /// From one run to the next, at most.
        interval: Duration,
    },
    /// Another instance of the agent's node.
    Alias(String),
}

impl Look {
    /// Of a check as the daemon is told it; `None` for one that passes only when it is registered.
    pub(crate) fn of(check: &Value) -> Result<Option<Self>, DefinitionError> {
        let mut check = check.clone();
        // Those of an instance need no name.
        if let Some(fields) = check.as_object_mut() {
            fields.entry("Name").or_insert_with(|| "check".into());
        }
        let spec = definition::check(&check, &Context { short: ShortIntervals::Allow, peer_pid: None })?.spec;
        let (kind, timeout) = (spec.kind(), spec.timeout());
        Ok(match kind {
            Kind::Alias { service: Some(id), .. } => Some(Self::Alias(id.clone())),
            kind if kind.is_run() => {
                let within = if matches!(kind, Kind::Udp { .. }) { timeout.min(REFUSED) } else { timeout };
                Some(Self::Run { kind: Box::new(kind.clone()), within, interval: spec.interval().unwrap_or(LONGEST) })
            }
            _ => None,
        })
    }

    /// Waits until it passes. Says once, for `id`, what it waits for if that takes long.
    pub(crate) async fn passes(&self, client: &Client, id: &str) {
        let (start, mut told, mut pause) = (Instant::now(), false, TURN);
        while let Err(why) = self.once(client).await {
            if !told && start.elapsed() >= SILENT {
                told = true;
                say(format_args!("{id} is not registered before its check passes: {why}"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.longest());
        }
    }

    fn longest(&self) -> Duration {
        match self {
            Self::Run { interval, .. } => LONGEST.min(*interval),
            Self::Alias(_) => LONGEST,
        }
    }

    /// The error is for people.
    async fn once(&self, client: &Client) -> Result<(), String> {
        match self {
            Self::Run { kind, within, .. } => {
                let verdict = Box::pin(probe::run(kind, *within, SAID)).await;
                let said = verdict.output().cut(SAID);
                if verdict.status == Status::Passing { Ok(()) } else { Err(said.lines().next().unwrap_or_default().to_owned()) }
            }
            Self::Alias(id) => passes_there(client, id).await.map_err(|err| err.to_string())?,
        }
    }
}

/// Whether an instance, and its node, pass all checks at the agent.
async fn passes_there(client: &Client, id: &str) -> Result<Result<(), String>, ClientError> {
    client.own_instance(id).await?;
    let checks = client.own_checks().await?.value;
    let mut of_it = checks.values().filter(|check| check.instance == id || check.instance.is_empty());
    Ok(match of_it.find(|check| check.status != Status::Passing.as_str()) {
        Some(check) => Err(format!("{}, of {id}, is {}", check.id, check.status)),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UdpSocket},
    };

    use super::*;
    use crate::definition::Check;

    fn look(check: &str) -> Look {
        let check: Check = check.parse().unwrap();
        Look::of(&check.body(None).unwrap()).unwrap().unwrap()
    }

    async fn once(look: &Look) -> Result<(), String> {
        look.once(&Client::new("http://127.0.0.1:1").unwrap()).await
    }

    async fn answering(line: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = look(&format!("http://{}/up?x", listener.local_addr().unwrap()));
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let n_bytes = stream.read(&mut request).await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
            String::from_utf8(request[..n_bytes].to_vec()).unwrap()
        };
        let (passed, asked) = tokio::join!(once(&http), server);
        assert!(asked.starts_with("GET /up?x HTTP/1.1\r\n"), "{asked}");
        passed.is_ok()
    }

    #[tokio::test]
    async fn only_2xx_is_an_answer() {
        assert!(answering("HTTP/1.1 204 No Content\r\n\r\n").await);
        for line in ["HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x 2 and more", "HTTP/1.1"] {
            assert!(!answering(line).await, "{line}");
        }
    }

    #[tokio::test]
    async fn nobody_there_does_not_pass_and_somebody_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = look(&format!("tcp:{}", listener.local_addr().unwrap()));
        assert_eq!(once(&tcp).await, Ok(()));
        drop(listener);
        assert!(once(&tcp).await.is_err());
        // A server that takes the connection and is no HTTP/2 server.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for check in [format!("grpc:{address}"), format!("https://localhost:{}/", address.port())] {
            let (check, server) = (look(&check), async { drop(listener.accept().await.unwrap()) });
            assert!(tokio::join!(once(&check), server).0.is_err(), "{check:?}");
        }
    }

    #[tokio::test]
    async fn a_command_and_a_datagram_are_tried_too() {
        assert_eq!(once(&look("script:exit 0")).await, Ok(()));
        assert!(once(&look("script:echo no; exit 2")).await.unwrap_err().contains("no"));
        assert!(once(&look("script:exit 1")).await.is_err(), "a warning is no pass");
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let udp = look(&format!("udp:{},timeout=50ms", socket.local_addr().unwrap()));
        assert_eq!(once(&udp).await, Ok(()), "not refused");
        drop(socket);
        assert!(once(&udp).await.is_err());
    }

    #[test]
    fn times_are_those_of_the_check_within_bounds() {
        let times = |check: &str| match look(check) {
            Look::Run { within, interval, .. } => (within, interval.min(LONGEST)),
            Look::Alias(_) => panic!("{check}"),
        };
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert_eq!(times("tcp:h:1"), (s(10), s(1)));
        assert_eq!(times("tcp:h:1,interval=20ms,timeout=3s"), (s(3), ms(20)));
        assert_eq!(times("udp:h:1,interval=1m"), (s(1), s(1)));
        assert!(Look::of(&json!({"TTL": "10s"})).unwrap().is_none(), "only its program can say");
        assert!(Look::of(&json!({"HTTP": "nothing", "Interval": "1s"})).is_err());
    }
}
