//! Wires the parts together, runs them until a signal, and stops them in order.
//!
//! Order of a start: data folder, HTTP and DNS listeners, agent (its exchanges bind their addresses), templates, proxy,
//! ready line. Order of a stop: templates and proxy, so that nothing follows our own end; goodbye on every exchange while the
//! API still answers; the API.

use std::{
    io::{ErrorKind, IsTerminal, Write},
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use lobby::{AgentError, Builder, ExchangeError, Lobby, StartError, store::Store};
use lobby_core::{
    name::Name,
    port::{Commands, log::Log},
};
use lobby_http::{App, Handles, Limits, Listener};
use tokio::{
    net::{TcpListener, TcpSocket, UnixListener},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Driver, Http, template::Templates},
    data_dir, dns,
    proxy::{self, Shown},
    signal::{Asked, Signals},
    systemd,
    template::{self, Counts},
};

/// Descriptors that are not HTTP connections: gossip, brokers, files, commands.
const SPARE_DESCRIPTORS: usize = 256;

/// Clients that may wait to be accepted: all watches of a thousand programs come back at once after a restart, and whoever
/// finds no place tries again only a second later. The system's own bound (net.core.somaxconn) counts too.
const BACKLOG: u32 = 4096;

/// What is to be kept in step with the catalog, now and after each reload.
pub(crate) struct Wanted {
    pub(crate) templates: watch::Receiver<Templates>,
    pub(crate) proxy: watch::Receiver<proxy::Wanted>,
}

/// Runs the daemon to its end.
pub(crate) async fn run(mut config: Config, wanted: Wanted, log: Log) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("listening to signals")?;
    let data = data_dir::open(config.data_dir.as_deref(), config.dev).await?;
    let dns = dns::bind(config.dns.take())?;
    let (builder, http) = agent(config, data.store)?;
    // Bound before anybody is told of us, answered after: a port that is taken must not look like a short visit.
    let Listeners { tcp, consul, unix } = listen(&http).await?;
    let mut lobby = builder.start().await.map_err(hint)?;
    let local = |listener: &TcpListener| listener.local_addr().context("reading the address of the API");
    let api = Api {
        https: http.access.is_https(),
        http: local(&tcp)?,
        consul: consul.as_ref().map(local).transpose()?,
        dns: dns.addr(),
    };
    let stop_http = CancellationToken::new();
    let counts = Arc::new(Counts::default());
    let shown = Arc::new(Shown::default());
    let handles = handles(&lobby, log, counts.clone(), shown.clone(), &dns);
    let around = template::surroundings(api.https, api.http);
    let inside = (http.cluster.clone(), Handles { log: None, ..handles.clone() });
    let proxy = proxy::Agent { inside: inside.clone(), around: around.clone(), shown };
    let (cluster, inside) = inside;
    let agent = template::Agent { cluster, handles: inside, node: lobby.id().to_string(), around, counts };
    let renderer = template::start(wanted.templates, agent);
    let proxy = proxy::start(wanted.proxy, proxy);
    let app = http_app(http, handles);
    let listeners = [Some(Listener::Tcp(tcp)), consul.map(Listener::Tcp), unix.map(Listener::Unix)];
    let serve = |listener| tokio::spawn(lobby_http::serve(listener, app.clone(), stop_http.clone().cancelled_owned()));
    let servers: Vec<_> = listeners.into_iter().flatten().map(serve).collect();

    let dns = dns.start(&lobby)?;
    tell_ready(&lobby, &api);
    let pulse = lobby.pulse();
    tokio::spawn(async move { systemd::keep_alive(|| pulse.beat()).await });
    let asked = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                // On its own: a hung file system must not keep us from hearing the next signal.
                Asked::Reload => drop(tokio::spawn(reload(lobby.commands()))),
                asked => break Ok(asked),
            },
            ended = lobby.ended() => break ended.map(|()| Asked::Leave),
        }
    };
    if !matches!(asked, Err(AgentError::Cloned { .. })) {
        systemd::stopping();
    }
    tokio::join!(renderer.stop(), proxy.stop());
    app.stopping();
    match asked {
        Ok(Asked::Restart) => lobby.restart().await,
        _ => lobby.leave().await,
    }
    stop_http.cancel();
    dns::stop(dns).await;
    for server in servers {
        server.await.context("the API ended badly")?;
    }
    drop(data.temporary);
    asked.map(|_| ()).map_err(anyhow::Error::from)
}

/// The agent as configured, and how its API is served.
fn agent(config: Config, store: Store) -> anyhow::Result<(Builder, Http)> {
    let name = match (config.hostname, config.dev) {
        (Some(name), _) => Some(name),
        (None, true) => Some(dev_name(&store.id.to_string())?),
        (None, false) => None,
    };
    let mut builder = Lobby::builder()
        .store(store)
        .label_sources(config.labels)
        .datacenter(config.datacenter.to_string())
        .listed(config.register)
        .ttl(config.ttl)
        .warm_max(config.warm_max)
        .agent_grace(config.agent_grace)
        .hold(config.hold)
        .script_checks(config.script_checks);
    if let Some(folder) = config.services_path {
        builder = builder.services_path(folder);
    }
    if let Some(name) = name {
        builder = builder.name(name);
    }
    for hook in config.hooks {
        builder = builder.hook(hook);
    }
    for handler in config.handlers {
        builder = builder.handler(handler);
    }
    for driver in config.drivers {
        builder = match driver {
            Driver::Gossip(gossip) if gossip.default_addr => builder.insecure(gossip.insecure).gossip_or_free_port(gossip.config),
            Driver::Gossip(gossip) => builder.insecure(gossip.insecure).gossip(gossip.config),
            Driver::Nats(nats) => builder.nats(*nats),
            Driver::Redis(redis) => builder.redis(*redis),
        };
    }
    Ok((builder, config.http))
}

/// Several throw-away agents on one machine are several hosts.
fn dev_name(id: &str) -> anyhow::Result<Name> {
    let machine = lobby::hostname().context("the machine's host name cannot be used, set HOSTNAME")?;
    format!("{machine}-{}", &id[..4]).parse().context("the machine's host name cannot be used, set HOSTNAME")
}

/// What people can do about a start that failed.
fn hint(err: StartError) -> anyhow::Error {
    match err {
        StartError::Exchange(ExchangeError::Bind { .. }) => {
            anyhow::Error::from(err).context("gossip cannot listen, set GOSSIP_ADDR to another address")
        }
        err => err.into(),
    }
}

/// What the API listens on.
struct Listeners {
    tcp: TcpListener,
    consul: Option<TcpListener>,
    unix: Option<UnixListener>,
}

/// Where the API is reached.
struct Api {
    https: bool,
    http: SocketAddr,
    consul: Option<SocketAddr>,
    dns: Option<SocketAddr>,
}

async fn listen(http: &Http) -> anyhow::Result<Listeners> {
    let bind = |addr, settings| bind_tcp(addr).with_context(|| format!("the API cannot listen on {addr}, set {settings}"));
    let tcp = bind(http.addr, "HOST or PORT")?;
    let consul = match http.consul_addr {
        Some(addr) => Some(bind(addr, "CONSUL_ADDR")?),
        None => None,
    };
    let unix = match &http.socket {
        Some((path, mode)) => {
            let bound = bind_unix(path, *mode);
            Some(bound.with_context(|| format!("the API cannot listen on SOCKET {}", path.display()))?)
        }
        None => None,
    };
    Ok(Listeners { tcp, consul, unix })
}

/// Binds as tokio does, but for more clients at once.
fn bind_tcp(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Binds the unix socket. One left over by a process that is gone is replaced, one in use is not.
fn bind_unix(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    let left_over = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path).is_err_and(|err| err.kind() == ErrorKind::ConnectionRefused);
    if left_over {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// What the API reaches.
fn handles(lobby: &Lobby, log: Log, counts: Arc<Counts>, shown: Arc<Shown>, dns: &dns::Bound) -> Handles {
    let counted = shown.clone();
    let clock = lobby.clock();
    Handles {
        reader: lobby.reader(),
        commands: lobby.commands(),
        gossip: lobby.gossip(),
        registry: lobby.registry(),
        externals: lobby.externals(),
        agent: lobby.stats(),
        exchanges: lobby.exchanges().iter().map(|exchange| (exchange.name.into(), exchange.stats.clone())).collect(),
        clock: Arc::new(move || clock.now()),
        templates: Some(Arc::new(move || counts.read())),
        dns: dns.counts(),
        // A status is numbers and texts, which always have a JSON form.
        proxy: Some(Arc::new(move || serde_json::to_value(shown.status()).unwrap_or_default())),
        proxy_counts: Some(Arc::new(move || counted.counts())),
        log: Some(log),
    }
}

fn http_app(http: Http, handles: Handles) -> App {
    let mut limits = Limits::default();
    if let Some(descriptors) = lobby::rlimit::current() {
        let room = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(SPARE_DESCRIPTORS);
        limits.connections = limits.connections.min(room.max(64));
        limits.per_address = limits.per_address.min(limits.connections / 2);
    }
    let config = lobby_http::Config {
        token: http.token,
        access: http.access,
        disable_api: http.disable_api,
        allowed_hosts: http.allowed_hosts,
        operator_loopback: http.operator_loopback,
        node_exporter_port: http.node_exporter_port,
        cluster: http.cluster,
        version: env!("CARGO_PKG_VERSION").into(),
        limits,
    };
    App::new(config, handles)
}

/// Tells machines (one line of JSON on stdout), systemd, and people on a terminal that everything listens.
fn tell_ready(lobby: &Lobby, api: &Api) {
    let snapshot = lobby.reader().snapshot();
    let gossip = lobby.exchanges().iter().find_map(|exchange| exchange.address);
    let mut line = serde_json::json!({
        "ready": true,
        "node": snapshot.local.record.name.as_str(),
        "id": lobby.id().to_string(),
        "http": api.http.to_string(),
    });
    if let Some(consul) = api.consul {
        line["consul"] = consul.to_string().into();
    }
    if let Some(dns) = api.dns {
        line["dns"] = dns.to_string().into();
    }
    if let Some(gossip) = gossip {
        line["gossip"] = gossip.to_string().into();
    }
    let mut stdout = std::io::stdout();
    // Whoever started us may not read what we print.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    systemd::ready();
    if std::io::stderr().is_terminal() {
        what_to_try(snapshot.local.record.name.as_str(), api, gossip);
    }
}

/// For people: commands that work as they stand, wherever the programs lie.
fn what_to_try(name: &str, api: &Api, gossip: Option<SocketAddr>) {
    let (scheme, http) = (if api.https { "https" } else { "http" }, api.http);
    let program = |name: &str| {
        let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(name)).filter(|path| path.is_file());
        let on_path = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| beside.as_deref() == Some(folder.join(name).as_path()))
        });
        match beside {
            Some(path) if !on_path => Some(path.display().to_string()),
            Some(_) => Some(name.to_owned()),
            None => None,
        }
    };
    let lobbyd = program("lobbyd").unwrap_or_else(|| "lobbyd".into());
    eprintln!("\n  {name} is up: {scheme}://{http}/");
    if let Some(gossip) = gossip {
        eprintln!("  another agent on this machine:  {lobbyd} --dev --join {gossip}");
    }
    match program("lobbyctl") {
        Some(lobbyctl) => {
            eprintln!("  who is there:                   {lobbyctl} --port {} nodes", http.port());
            eprintln!("  add a label:                    {lobbyctl} --port {} labels add service:web\n", http.port());
        }
        None => eprintln!("  who is there:                   curl {scheme}://{http}/   (lobbyctl: cargo build --release)\n"),
    }
}

async fn reload(commands: Commands) {
    systemd::reloading();
    match commands.reload().await {
        Ok(()) => tracing::info!("labels were read again, and templates, tokens and certificates where they are set"),
        Err(err) => tracing::warn!("cannot reload: {err}"),
    }
    systemd::ready();
}
