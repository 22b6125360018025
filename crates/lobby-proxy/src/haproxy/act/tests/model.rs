//! A small HAProxy for tests: servers and their states, and the commands and answers that the contract lists for each release. It
//! keeps count of how many servers of a backend take requests after each command.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use crate::haproxy::{
    Backend,
    plan::SLOT,
    socket::{Ask, SocketError},
    state::Admin,
    version::Version,
};

/// Servers that stand by in backends to which nothing can be added.
const N_SLOTS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    address: IpAddr,
    port: u16,
    weight: u32,
    initial_weight: u32,
    admin: Admin,
    id: u32,
    is_added: bool,
    is_backup: bool,
    cookie: String,
    has_check: bool,
    is_checked: bool,
    n_requests: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    is_dynamic: bool,
    servers: BTreeMap<String, Server>,
}

#[derive(Debug)]
struct State {
    version: Version,
    pid: u32,
    places: BTreeMap<String, Place>,
    least: BTreeMap<String, usize>,
    is_experimental: bool,
}

#[derive(Debug)]
pub(super) struct Model(Mutex<State>);

impl Ask for Model {
    async fn ask(&self, line: &str) -> Result<String, SocketError> {
        let mut state = self.0.lock().unwrap();
        state.is_experimental = false;
        Ok(line.split(';').map(|command| state.answer(command) + "\n").collect())
    }
}

impl Model {
    pub(super) fn new(version: Version, backends: &[Backend]) -> Self {
        let foreign =
            Place { is_dynamic: true, servers: BTreeMap::from([("x".into(), server("10.7.7.7:7".parse().unwrap(), 1))]) };
        let places = BTreeMap::from([("foreign".into(), foreign)]);
        let model = Self(Mutex::new(State { version, pid: 0, places, least: BTreeMap::new(), is_experimental: false }));
        model.reload(backends);
        model
    }

    /// The file is what is wanted, and spare servers where nothing can be added.
    pub(super) fn reload(&self, backends: &[Backend]) -> u32 {
        let mut state = self.0.lock().unwrap();
        for backend in backends {
            let mut place = Place { is_dynamic: backend.is_dynamic, servers: BTreeMap::new() };
            for (line, id) in backend.servers.iter().zip(100..) {
                let mut server = server(SocketAddr::new(line.host.parse().unwrap(), line.port), line.id.unwrap_or(id));
                (server.has_check, server.is_checked, server.is_backup) = (true, true, line.is_backup);
                server.weight = line.weight.unwrap_or(1);
                server.initial_weight = server.weight;
                server.cookie = line.cookie.clone().unwrap_or_default();
                server.admin = if line.is_disabled { Admin::Maint } else { Admin::Ready };
                place.servers.insert(line.name.clone(), server);
            }
            if !(backend.is_dynamic && state.version.has_dynamic_servers()) {
                for n in 1..=N_SLOTS {
                    let spare = Server { admin: Admin::Maint, ..server("127.0.0.1:1".parse().unwrap(), 200 + n) };
                    place.servers.insert(format!("{SLOT}{n}"), spare);
                }
            }
            state.places.insert(backend.name.clone(), place);
        }
        state.pid += 1;
        state.count();
        state.pid
    }

    pub(super) fn foreign(&self) -> String {
        format!("{:?}", self.0.lock().unwrap().places["foreign"])
    }

    /// Somebody else at the socket, with everything switched on.
    pub(super) fn hand(&self, line: &str) {
        let mut state = self.0.lock().unwrap();
        state.is_experimental = true;
        for command in line.split(';') {
            state.answer(command);
        }
    }

    /// How many take requests in each backend now; from now on the least is kept.
    pub(super) fn start_counting(&self) -> BTreeMap<String, usize> {
        let mut state = self.0.lock().unwrap();
        state.least.clear();
        state.count();
        state.least.clone()
    }

    pub(super) fn least(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().least.clone()
    }

    /// Servers that take requests have some, the others finish one. The foreign one has none: it is compared.
    pub(super) fn finish_some_requests(&self) {
        let mut state = self.0.lock().unwrap();
        for place in state.places.iter_mut().filter(|(name, _)| *name != "foreign").map(|(_, place)| place) {
            for server in place.servers.values_mut() {
                server.n_requests = if server.admin == Admin::Ready { 3 } else { server.n_requests.saturating_sub(1) };
            }
        }
    }
}

fn server(endpoint: SocketAddr, id: u32) -> Server {
    Server {
        address: endpoint.ip(),
        port: endpoint.port(),
        weight: 1,
        initial_weight: 1,
        admin: Admin::Ready,
        id,
        is_added: false,
        is_backup: false,
        cookie: String::new(),
        has_check: false,
        is_checked: false,
        n_requests: 0,
    }
}

impl State {
    fn count(&mut self) {
        for (name, place) in &self.places {
            let n = place.servers.values().filter(|server| server.admin == Admin::Ready).count();
            let least = self.least.entry(name.clone()).or_insert(n);
            *least = n.min(*least);
        }
    }

    fn answer(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let answer = match *words {
            ["experimental-mode", "on"] => {
                self.is_experimental = true;
                String::new()
            }
            ["show", "info"] => format!("Name: HAProxy\nVersion: {}-model\nPid: {}\n", self.version, self.pid),
            ["show", "stat"] => self.stat(),
            ["show", "servers", "state"] => self.servers(),
            ["add", "server", path, endpoint, ..] => self.add(path, endpoint, &words[4..]),
            ["del", "server", path] => self.delete(path),
            ["wait", _, "srv-removable", path] if self.version.can_wait() => {
                self.with(path, |server, _| server.n_requests = server.n_requests.saturating_sub(1));
                "Done.\n".into()
            }
            ["shutdown", "sessions", "server", path] => self.with(path, |server, _| server.n_requests = 0),
            ["enable", "health", path] => self.with(path, |server, _| server.is_checked = server.has_check),
            ["set", "server", path, "state", to] => self.with(path, |server, _| {
                let all = [Admin::Ready, Admin::Drain, Admin::Maint];
                server.admin = all.into_iter().find(|admin| admin.as_str() == to).unwrap();
            }),
            ["set", "server", path, "addr", address, "port", port] => self.with(path, |server, _| {
                (server.address, server.port) = (address.parse().unwrap(), port.parse().unwrap());
            }),
            ["set", "server", path, "weight", weight] => self.weight(path, weight),
            _ => "Unknown command, but maybe one of the following ones is a better match:\n".into(),
        };
        self.count();
        answer
    }

    fn with(&mut self, path: &str, change: impl FnOnce(&mut Server, bool)) -> String {
        let (backend, name) = path.split_once('/').unwrap();
        let Some(place) = self.places.get_mut(backend) else { return "No such backend.\n".into() };
        let Some(server) = place.servers.get_mut(name) else { return "No such server.\n".into() };
        change(server, place.is_dynamic);
        String::new()
    }

    fn weight(&mut self, path: &str, weight: &str) -> String {
        let mut answer = "";
        let missing = self.with(path, |server, is_dynamic| match weight {
            "100%" => server.weight = server.initial_weight,
            _ if is_dynamic => server.weight = weight.parse().unwrap(),
            _ => answer = "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n",
        });
        missing + answer
    }

    fn add(&mut self, path: &str, endpoint: &str, words: &[&str]) -> String {
        if !self.version.can_delete() || self.version.needs_experimental_mode() && !self.is_experimental {
            return "Unknown command.\n".into();
        }
        let (backend, name) = path.split_once('/').unwrap();
        let Some(place) = self.places.get_mut(backend) else { return "No such backend.\n".into() };
        if !place.is_dynamic {
            return "Backend must use a dynamic load balancing to support dynamic servers.\n".into();
        }
        if place.servers.contains_key(name) {
            return "Already exists a server with the same name in backend.\n".into();
        }
        let free = (300..).find(|id| place.servers.values().all(|server| server.id != *id)).unwrap();
        let mut server = Server { admin: Admin::Maint, is_added: true, ..server(endpoint.parse().unwrap(), free) };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "check" if self.version < Version::new(2, 5) => return "unknown keyword 'check'.\n".into(),
                "check" => server.has_check = true,
                "inter" => drop(words.next()),
                "backup" => server.is_backup = true,
                "weight" => server.weight = words.next().unwrap().parse().unwrap(),
                "id" => server.id = words.next().unwrap().parse().unwrap(),
                "cookie" if self.version.has_dynamic_cookie() => server.cookie = (*words.next().unwrap()).into(),
                "cookie" => return "'cookie' option is not accepted for dynamic server\n".into(),
                word => return format!("unknown keyword '{word}'.\n"),
            }
        }
        if place.servers.values().any(|other| other.id == server.id) {
            return format!("'id' : custom id {} already used at (null):0 ('server x').\n", server.id);
        }
        server.initial_weight = server.weight;
        place.servers.insert(name.into(), server);
        "New server registered.\n".into()
    }

    fn delete(&mut self, path: &str) -> String {
        let version = self.version;
        if !version.can_delete() || version.needs_experimental_mode() && !self.is_experimental {
            return "Unknown command.\n".into();
        }
        let mut answer = "Server deleted.\n";
        let missing = self.with(path, |server, _| {
            if !version.has_dynamic_servers() && !server.is_added {
                answer = "Only servers added at runtime via <add server> CLI command can be deleted.\n";
            } else if server.admin != Admin::Maint {
                answer = "Only servers in maintenance mode can be deleted.\n";
            } else if server.n_requests > 0 {
                answer = "Server still has connections attached to it, cannot remove it.\n";
            }
        });
        if !missing.is_empty() {
            return missing;
        }
        if answer.starts_with("Server deleted") {
            let (backend, name) = path.split_once('/').unwrap();
            self.places.get_mut(backend).unwrap().servers.remove(name);
        }
        answer.into()
    }

    fn stat(&self) -> String {
        let mut text = "# pxname,svname,qcur,scur,bck,cookie,\n".to_owned();
        for (backend, place) in &self.places {
            for (name, server) in &place.servers {
                text += &format!("{backend},{name},0,{},{},{},\n", server.n_requests, u8::from(server.is_backup), server.cookie);
            }
            text += &format!("{backend},BACKEND,0,0,0,,\n");
        }
        text
    }

    fn servers(&self) -> String {
        let mut text = "1\n# be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight ".to_owned();
        text += "srv_check_state srv_fqdn srv_port\n";
        for (backend, place) in &self.places {
            for (name, Server { id, address, port, weight, initial_weight, admin, has_check, is_checked, .. }) in &place.servers {
                let (up, bits) = match admin {
                    Admin::Ready => (2, 0),
                    Admin::Drain => (2, 8),
                    Admin::Maint => (0, 1),
                };
                let check = u8::from(*has_check) * 2 + u8::from(*is_checked) * 4;
                text += &format!("{backend} {id} {name} {address} {up} {bits} {weight} {initial_weight} {check} - {port}\n");
            }
        }
        text
    }
}
