//! Where the daemon is and how it is spoken to: options of all verbs, with variables behind them.
//!
//! ```text
//! --unix-socket, SOCKET  ─┐
//! --host --port --proto  ─┴─► Client;  a socket in the environment yields to an address on the command line
//! a daemon's configuration ─► what none of them said (`proxy` only)
//! ```
//! Not here: where `--port` may stand (`cli`), what a client does with all that (`lobby::client`).

use std::{
    env,
    ffi::OsString,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, parser::ValueSource};
use lobby::client::{Client, ClientError, Tls};

use crate::failure::usage;

/// Options that name a daemon without a socket.
const ADDRESS: [&str; 3] = ["proto", "host", "port"];

/// What was said by the command line or a variable, and counts before a file.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    proto: bool,
    host: bool,
    port: bool,
}

/// How to reach the daemon.
#[derive(Debug, Clone, Args)]
pub(crate) struct Door {
    /// How to talk to the daemon: http or https
    #[arg(long, env = "PROTO", default_value = "http", value_parser = ["http", "https"], ignore_case = true, global = true)]
    proto: String,
    /// Where the daemon listens
    #[arg(long, env = "HOST", default_value = "127.0.0.1", global = true)]
    host: String,
    /// The daemon's port
    // Not global: `register` and `run` mean another port by it.
    #[arg(long, env = "PORT", default_value_t = 1313)]
    pub(super) port: u16,
    /// The daemon's unix socket, its SOCKET, instead of an address
    #[arg(long, env = "SOCKET", value_name = "PATH", global = true)]
    unix_socket: Option<PathBuf>,
    /// Over https, trust these authorities (PEM) and no others
    #[arg(long, env = "CA_CERT", value_name = "FILE", global = true)]
    ca_cert: Option<PathBuf>,
    /// Over https, show this certificate (PEM) to a daemon with a TLS_CLIENT_CA
    #[arg(long, env = "CLIENT_CERT", value_name = "FILE", global = true)]
    client_cert: Option<PathBuf>,
    /// The key (PEM) of that certificate
    #[arg(long, env = "CLIENT_KEY", value_name = "FILE", global = true)]
    client_key: Option<PathBuf>,
    /// The daemon's TOKEN; the environment is the safer place for it
    #[arg(long, env = "TOKEN", hide_env_values = true, default_value = "", hide_default_value = true, global = true)]
    token: String,
    #[arg(skip)]
    said: Said,
}

impl Door {
    /// An address on the command line counts more than a socket in the environment.
    pub(super) fn prefer_typed(&mut self, matches: &ArgMatches, is_port_typed: bool) {
        let is_typed = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if !is_typed(&"unix_socket") && (is_port_typed || ADDRESS.iter().any(is_typed)) {
            self.unix_socket = None;
        }
        let is_said = |id: &str| matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        self.said = Said { proto: is_said("proto"), host: is_said("host"), port: is_port_typed || is_said("port") };
    }

    /// The same, but what nobody said is where a daemon with this configuration listens.
    pub(crate) fn following(&self, config: &toml::Table) -> anyhow::Result<Self> {
        let text = |section: &str, key: &str| match config.get(section).and_then(|section| section.get(key)) {
            Some(toml::Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(toml::Value::Integer(number)) => Some(number.to_string()),
            _ => None,
        };
        let (mut door, said) = (self.clone(), self.said);
        let is_said = said.proto || said.host || said.port || given(door.unix_socket.as_ref()).is_some();
        // The daemon's own token is for nobody else.
        if let Some(token) = text("http", "token").filter(|_| door.token.is_empty() && !is_said) {
            door.token = token;
        }
        if let Some(path) = text("http", "socket").filter(|_| !is_said) {
            door.unix_socket = Some(path.into());
            return Ok(door);
        }
        if let Some(port) = text("http", "port").filter(|_| !said.port) {
            let accepted = port.parse().ok().filter(|port| *port != 0);
            let bad = || usage(format!("http.port {port:?}: give --port: one of 1 to 65535 is needed to ask the daemon"));
            door.port = accepted.ok_or_else(bad)?;
        }
        if let Some(host) = text("http", "host").filter(|_| !said.host) {
            // Where it listens is not where it is asked.
            door.host = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".into(),
                Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "::1".into(),
                _ => host,
            };
        }
        if !said.proto && text("tls", "cert").is_some() {
            door.proto = "https".into();
        }
        Ok(door)
    }

    /// The client of the daemon that the options name.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let client = match given(self.unix_socket.as_ref()) {
            Some(path) => Client::at_socket(without_mode(path))?,
            None => self.at_address()?,
        };
        Ok(if self.token.is_empty() { client } else { client.with_token(&self.token)? })
    }

    /// The daemon's TOKEN, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        Some(&*self.token).filter(|token| !token.is_empty())
    }

    fn at_address(&self) -> anyhow::Result<Client> {
        let Self { proto, host, port, .. } = self;
        let bare_ip6 = host.contains(':') && !host.starts_with('[');
        let host = if bare_ip6 { format!("[{host}]") } else { host.clone() };
        let url = format!("{}://{host}:{port}", proto.to_lowercase());
        if proto.eq_ignore_ascii_case("https") {
            return Ok(Client::with_tls(&url, self.tls(|name| env::var_os(name))?)?);
        }
        let files = [("--ca-cert", &self.ca_cert), ("--client-cert", &self.client_cert), ("--client-key", &self.client_key)];
        match files.iter().find(|(_, file)| given(file.as_ref()).is_some()) {
            Some((option, _)) => Err(usage(format!("{option} means nothing over http: add --proto https"))),
            None => Ok(Client::new(&url)?),
        }
    }

    /// What was given, or else what Consul's own tools are given.
    fn tls(&self, consul: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Tls> {
        let either = |own: &Option<PathBuf>, option: &'static str, name: &'static str| match given(own.as_ref()) {
            Some(path) => Some((option, path.to_owned())),
            None => consul(name).filter(|path| !path.is_empty()).map(|path| (name, path.into())),
        };
        let mut tls = Tls::default();
        if let Some(file) = either(&self.ca_cert, "--ca-cert", "CONSUL_CACERT") {
            tls = tls.trusting(&read(&file)?).map_err(|err| bad(&file, &err))?;
        }
        let certificate = either(&self.client_cert, "--client-cert", "CONSUL_CLIENT_CERT");
        match (certificate, either(&self.client_key, "--client-key", "CONSUL_CLIENT_KEY")) {
            (None, None) => Ok(tls),
            (Some(certificate), Some(key)) => {
                tls.showing(&read(&certificate)?, &read(&key)?).map_err(|err| bad(&certificate, &err))
            }
            (Some((option, _)), None) => Err(usage(format!("{option} needs the key of the certificate: add --client-key"))),
            (None, Some((option, _))) => Err(usage(format!("{option} needs the certificate of the key: add --client-cert"))),
        }
    }
}

/// An empty variable is none.
fn given(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty())
}

/// The daemon's variable may have the mode of the socket behind it.
fn without_mode(path: &Path) -> &Path {
    let is_mode = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let parts = path.to_str().and_then(|text| text.rsplit_once(':'));
    parts.filter(|(_, mode)| is_mode(mode)).map_or(path, |(path, _)| Path::new(path))
}

fn read((option, path): &(&str, PathBuf)) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|err| usage(format!("{option} {}: {err}", path.display())))
}

fn bad((option, path): &(&str, PathBuf), err: &ClientError) -> anyhow::Error {
    usage(format!("{option} {}: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    fn door(line: &str) -> Door {
        parse(["lobbyctl"].into_iter().chain(line.split(' ')).map(OsString::from)).unwrap().door
    }

    #[test]
    fn the_address_takes_ipv6() {
        for (host, want) in [("::1", "http://[::1]:7/"), ("[::1]", "http://[::1]:7/"), ("h", "http://h:7/")] {
            let door = door(&format!("--host {host} --port 7 --proto http nodes"));
            assert_eq!(door.client().unwrap().url(), want);
        }
    }

    #[test]
    fn a_socket_is_instead_of_an_address() {
        for (line, want) in [
            ("--unix-socket /run/l.sock nodes", "unix:/run/l.sock"),
            ("nodes --unix-socket /run/l.sock", "unix:/run/l.sock"),
            ("--unix-socket /run/l.sock:0660 --host h nodes", "unix:/run/l.sock"),
            ("--unix-socket /run/l.sock:9 nodes", "unix:/run/l.sock:9"),
        ] {
            assert_eq!(door(line).client().unwrap().url(), want, "{line}");
        }
    }

    #[test]
    fn certificates_are_for_https_and_come_in_pairs() {
        let said = |line: &str| format!("{:#}", door(line).client().unwrap_err());
        assert_eq!(said("--ca-cert /x --proto http nodes"), "--ca-cert means nothing over http: add --proto https");
        let got = said("--ca-cert /no/such.pem --proto https nodes");
        assert!(got.starts_with("--ca-cert /no/such.pem: No such file"), "{got}");
        let tls = |line: &str, consul: &str| match door(line).tls(|name| (name == consul).then(|| "/no/such.pem".into())) {
            Ok(_) => String::new(),
            Err(err) => err.to_string(),
        };
        assert_eq!(tls("--client-cert /x nodes", ""), "--client-cert needs the key of the certificate: add --client-key");
        assert_eq!(tls("--client-key /x nodes", ""), "--client-key needs the certificate of the key: add --client-cert");
        assert_eq!(tls("nodes", ""), "");
        let got = tls("nodes", "CONSUL_CACERT");
        assert!(got.starts_with("CONSUL_CACERT /no/such.pem: No such file"), "{got}");
        let got = tls("nodes", "CONSUL_CLIENT_KEY");
        assert!(got.starts_with("CONSUL_CLIENT_KEY needs"), "{got}");
    }

    #[test]
    fn what_nobody_said_is_as_in_the_file() {
        let http = |more: &str| format!("[http]\nport = 7\nhost = \"0.0.0.0\"\n{more}");
        for (line, file, want) in [
            ("nodes", http(""), "http://127.0.0.1:7/"),
            ("nodes", http("socket = \"/run/l.sock:0660\"\n"), "unix:/run/l.sock"),
            ("--port 8 nodes", http("socket = \"/run/l.sock\"\n"), "http://127.0.0.1:8/"),
            ("--host h nodes", http(""), "http://h:7/"),
            ("--host h nodes", http("[tls]\ncert = \"/x\"\n"), "https://h:7/"),
            ("--proto http nodes", http("[tls]\ncert = \"/x\"\n"), "http://127.0.0.1:7/"),
            ("--unix-socket /run/o.sock nodes", http("socket = \"/run/l.sock\"\n"), "unix:/run/o.sock"),
            ("nodes", "[http]\nhost = \"[::]\"\nport = \"9\"\n".into(), "http://[::1]:9/"),
            ("nodes", "[proxy]\n".into(), "http://127.0.0.1:1313/"),
        ] {
            let door = door(line).following(&file.parse().unwrap()).unwrap();
            assert_eq!(door.client().unwrap().url(), want, "{line} {file}");
        }
        for port in ["0", "\"x\"", "70000"] {
            let file = format!("[http]\nport = {port}\n").parse().unwrap();
            assert!(door("nodes").following(&file).unwrap_err().to_string().starts_with("http.port "), "{port}");
            door("--port 1 nodes").following(&file).unwrap();
        }
        let with_token = door("nodes").following(&"[http]\ntoken = \"s\"\n".parse().unwrap()).unwrap();
        assert_eq!(
            (with_token.token(), door("--token t nodes").following(&toml::Table::new()).unwrap().token()),
            (Some("s"), Some("t"))
        );
        for other in ["--host h nodes", "--port 8 nodes", "--unix-socket /run/o.sock nodes"] {
            let door = door(other).following(&"[http]\ntoken = \"s\"\n".parse().unwrap()).unwrap();
            assert_eq!(door.token(), None, "{other}: another daemon is not told the token of this one");
        }
    }
}
