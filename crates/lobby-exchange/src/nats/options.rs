//! Settings of the NATS exchange as options of its client library: servers, who we are, TLS.

use std::{fs, path::Path};

use async_nats::{ConnectOptions, ServerAddr};

use super::*;
use crate::{backoff::random, pem};

/// How often an idle connection is probed. It counts as lost when the third probe would be due unanswered.
const PING: Duration = Duration::from_secs(4);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Packets of one subscription that wait for us to read them. Further ones are dropped, and repeated with the next hi.
const UNREAD: usize = 4096;

/// Longest subject: NATS reads lines of 4096 bytes at most, which hold two of ours and more; nobody needs so long a one.
const CHANNEL_BYTES: usize = 256;

/// Whether this can be a subject: the server would refuse it for ever, or, with a wildcard, let us listen and never speak.
pub(super) fn check_channel(channel: &str) -> Result<(), ExchangeError> {
    let refuse = |why: String| Err(unusable("NATS_DISCOVERY_CHANNEL", why));
    if channel.len() > CHANNEL_BYTES {
        return refuse(format!("it has {} bytes: expected at most {CHANNEL_BYTES}", channel.len()));
    }
    let is_bad = |letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, '*' | '>');
    if channel.split('.').any(|token| token.is_empty() || token.contains(is_bad)) {
        let accepted = "expected names joined by single dots, without spaces, control characters, * and >";
        return refuse(format!("{channel:?}: {accepted}, such as lobby.discovery"));
    }
    Ok(())
}

pub(super) fn servers(config: &Config) -> Result<Vec<ServerAddr>, ExchangeError> {
    let urls = config.urls.iter().flat_map(|urls| urls.split(',')).map(str::trim).filter(|url| !url.is_empty());
    let parse = |url: &str| match url.parse::<ServerAddr>() {
        Ok(server) if !server.is_websocket() && !server.host().is_empty() => Ok(server),
        Ok(_) => Err(unusable("NATS_URL", "expected nats://HOST:PORT or tls://HOST:PORT")),
        Err(err) => Err(unusable("NATS_URL", err)),
    };
    let servers = urls.map(parse).collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        return Err(unusable("NATS_URL", "no server is named"));
    }
    Ok(servers)
}

/// A list of URLs as it may be shown: without what stands before each `@`.
pub(super) fn without_identity(urls: &str) -> String {
    let shown = urls.split(',').map(|url| {
        let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
    });
    shown.collect::<Vec<_>>().join(",")
}

pub(super) fn options(config: &Config, servers: &[ServerAddr]) -> Result<ConnectOptions, ExchangeError> {
    let backoff = config.backoff;
    let options = ConnectOptions::new()
        .name("lobbyd")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(PING)
        .connection_timeout(CONNECT)
        .subscription_capacity(UNREAD)
        .reconnect_delay_callback(move |attempt| {
            backoff.delay(u32::try_from(attempt).unwrap_or(u32::MAX).saturating_sub(1), random())
        });
    tls(identity(options, config, servers)?, config)
}

fn identity(options: ConnectOptions, config: &Config, servers: &[ServerAddr]) -> Result<ConnectOptions, ExchangeError> {
    if let Some(path) = &config.creds {
        let text = read("NATS_CREDS", path)?;
        return options.credentials(&text).map_err(|err| unusable("NATS_CREDS", err));
    }
    if let Some(nkey) = &config.nkey {
        return Ok(options.nkey(seed(nkey)?));
    }
    // All servers of a list get the same identity, as with every NATS client: the first URL that has one.
    let url = servers.iter().find(|server| server.has_user_pass());
    let (name, secret) = url.map_or((None, None), |url| (url.username().map(decoded), url.password().map(decoded)));
    match (&config.token, &config.user, name, secret) {
        (Some(token), ..) => Ok(options.token(token.clone())),
        (None, Some(user), _, secret) => {
            Ok(options.user_and_password(user.clone(), config.password.clone().or(secret).unwrap_or_default()))
        }
        (None, None, Some(name), Some(secret)) => Ok(options.user_and_password(name, config.password.clone().unwrap_or(secret))),
        (None, None, Some(token), None) => Ok(options.token(token)),
        (None, None, None, _) => Ok(options),
    }
}

fn tls(mut options: ConnectOptions, config: &Config) -> Result<ConnectOptions, ExchangeError> {
    if let Some(path) = &config.ca {
        pem::certificates("NATS_CA", path)?;
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => {
            pem::certificates("NATS_CERT", cert)?;
            pem::key("NATS_KEY", key)?;
            Ok(options.add_client_certificate(cert.clone(), key.clone()))
        }
        (None, None) => Ok(options),
        (Some(_), None) => Err(unusable("NATS_CERT", "it needs NATS_KEY as well")),
        (None, Some(_)) => Err(unusable("NATS_KEY", "it needs NATS_CERT as well")),
    }
}

fn seed(nkey: &str) -> Result<String, ExchangeError> {
    let is_seed = |line: &&str| line.starts_with("SU") && line.len() == 58;
    let text = if is_seed(&nkey.trim()) {
        nkey.to_owned()
    } else if nkey.contains('/') {
        read("NATS_NKEY", Path::new(nkey))?
    } else {
        // A seed with a letter too few must not be shown as the name of a file that is not there.
        fs::read_to_string(nkey).map_err(|err| unusable("NATS_NKEY", format!("neither a seed of a user nor a file: {err}")))?
    };
    let seed = text.lines().map(str::trim).find(is_seed);
    seed.map(str::to_owned).ok_or_else(|| unusable("NATS_NKEY", "the file contains no seed of a user"))
}

fn read(setting: &'static str, path: &Path) -> Result<String, ExchangeError> {
    fs::read_to_string(path).map_err(|err| unusable(setting, format!("{}: {err}", path.display())))
}

fn unusable(setting: &'static str, why: impl ToString) -> ExchangeError {
    ExchangeError::Setting { setting, why: why.to_string() }
}

/// User names and passwords in URLs are percent-encoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(urls: &[&str]) -> Config {
        Config { urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..Config::default() }
    }

    #[test]
    fn comma_lists_and_bare_hosts_are_servers() {
        let servers = servers(&config(&["nats://a:1, tls://b:2,", "c"])).unwrap();
        let all: Vec<_> = servers.iter().map(|server| (server.host(), server.port(), server.tls_required())).collect();
        assert_eq!(all, [("a", 1, false), ("b", 2, true), ("c", 4222, false)]);
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for urls in [&[][..], &["http://a"], &["ws://a"], &["nats://"], &[" , "]] {
            assert!(matches!(servers(&config(urls)), Err(ExchangeError::Setting { setting: "NATS_URL", .. })), "{urls:?}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let missing = || Some(PathBuf::from("/nonexistent/file"));
        let check = |config: Config, name: &str| match Nats::try_new(config, Clock::start()) {
            Err(ExchangeError::Setting { setting, .. }) => assert_eq!(setting, name),
            other => panic!("{other:?}"),
        };
        check(Config { ca: missing(), ..config(&["a"]) }, "NATS_CA");
        check(Config { creds: missing(), ..config(&["a"]) }, "NATS_CREDS");
        check(Config { nkey: Some("/nonexistent/file".into()), ..config(&["a"]) }, "NATS_NKEY");
        check(Config { cert: missing(), ..config(&["a"]) }, "NATS_CERT");
    }

    #[test]
    fn only_what_can_be_published_to_is_a_channel() {
        let longest = "x".repeat(CHANNEL_BYTES);
        for good in ["lobby.discovery", "lobby", "a-b_c.D:1.$x/y", "gr\u{fc}n.e", &longest] {
            assert!(check_channel(good).is_ok(), "{good}");
        }
        let too_long = "x".repeat(CHANNEL_BYTES + 1);
        let bad = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a\tb",
            "a\r\nPUB x",
            "a\u{a0}b",
            "a\0",
            ">",
            "a.>",
            "*",
            "a.*.b",
            "a*",
            &too_long,
        ];
        for bad in bad {
            let config = Config { channel: bad.into(), ..config(&["a"]) };
            let said = Nats::try_new(config, Clock::start()).unwrap_err().to_string();
            let shown = if bad.len() > CHANNEL_BYTES { "257 bytes".to_owned() } else { format!("{bad:?}") };
            let names = said.starts_with("NATS_DISCOVERY_CHANNEL") && said.contains(&shown) && said.contains("expected");
            assert!(names, "{said}");
        }
    }

    #[test]
    fn files_that_are_no_pem_are_named() {
        let (ca, folder) = (lobby_testkit::tls::Ca::new(), lobby_testkit::TempDir::new().unwrap());
        let bad = folder.path().join("no.pem");
        std::fs::write(&bad, "no PEM").unwrap();
        let good = |file: &Path| Some(file.to_owned());
        for (config, name) in [
            (Config { ca: good(&bad), ..config(&["a"]) }, "NATS_CA"),
            (Config { cert: good(&bad), key: good(&ca.key), ..config(&["a"]) }, "NATS_CERT"),
            (Config { cert: good(&ca.cert), key: good(&bad), ..config(&["a"]) }, "NATS_KEY"),
        ] {
            let said = Nats::try_new(config, Clock::start()).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name} is not usable: {}: expected", bad.display())), "{said}");
        }
    }

    #[test]
    fn passwords_in_urls_are_decoded() {
        assert_eq!(decoded("a%40b%2Fc%"), "a@b/c%");
        assert_eq!(decoded("100%zz"), "100%zz");
    }
}
