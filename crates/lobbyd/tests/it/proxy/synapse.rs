//! The program under the name `synapse`: a file that ran with Synapse runs as it stands (ports, paths and how often EC2 is
//! asked are replaced), against moto's EC2.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lobby_testkit::{
    TempDir, eventually, expect,
    process::{Process, Signal, find},
    server::{
        Server,
        moto::{self, Instance},
    },
};

use crate::fleet::{SOON, throughout};

/// As published, comments and all.
const FILE: &str = include_str!("../../../../lobby-proxy/tests/fixtures/synapse-seed.conf.json");

/// Longer than a poll of EC2 and the least time between two reloads.
const QUIET: Duration = Duration::from_secs(3);

pub(super) struct Place {
    pub(super) folder: TempDir,
    pub(super) moto: Server,
    /// Nobody is to come here.
    socket: UnixListener,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixListener::bind(folder.path().join("stats.sock")).unwrap();
        socket.set_nonblocking(true).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lobbyd"), folder.path().join("synapse")).unwrap();
        Self { folder, moto: moto::start(), socket }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file, with what only fits its authors replaced.
    pub(super) fn text(&self) -> String {
        let mut text = FILE.to_owned();
        for (from, to) in [
            ("\"echo noop\"", format!("\"echo noop >> {}\"", self.path("noops").display())),
            ("/etc/haproxy/haproxy.cfg", self.path("haproxy.cfg").display().to_string()),
            ("/var/haproxy/stats.sock", self.path("stats.sock").display().to_string()),
            ("120.0", "0.2".into()),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, &to);
        }
        text
    }

    pub(super) fn write(&self, text: &str) {
        fs::write(self.path("synapse.conf.json"), text).unwrap();
    }

    pub(super) fn start(&self) -> Process {
        let mut command = Command::new(self.path("synapse"));
        let environment = [
            ("AWS_ACCESS_KEY_ID", "XXX"),
            ("AWS_SECRET_ACCESS_KEY", "XXX"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &*format!("http://{}", self.moto.address)),
            ("PATH", "/usr/bin:/bin"),
            ("HOME", &*self.path("home").display().to_string()),
        ];
        command.env_clear().envs(environment).arg("-c").arg(self.path("synapse.conf.json"));
        Process::start("synapse", command)
    }

    /// Waits until the file has exactly the lines of these instances, and `echo noop` was run so often.
    #[track_caller]
    fn shows(&self, synapse: &Process, instances: &[&Instance], n_noops: usize) {
        let line = |instance: &&Instance, port: &str, more: &str| {
            let Instance { name, address, .. } = instance;
            format!("{name}_{address}:{port} {address}:{port} check{more}")
        };
        let both = |instance| [line(instance, "50001", ""), line(instance, "50002", " backup")];
        let mut want: Vec<_> = instances.iter().flat_map(both).collect();
        want.sort_unstable();
        eventually(SOON, || {
            let mut lines: Vec<_> = self.servers().iter().map(|line| without_id(line)).collect();
            lines.sort_unstable();
            let n_run = fs::read_to_string(self.path("noops")).unwrap_or_default().lines().count();
            expect(lines == want && n_run == n_noops, format!("{lines:#?} {n_run}\n{}", synapse.log()))
        });
    }

    fn servers(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("haproxy.cfg")).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().strip_prefix("server ").map(str::to_owned)).collect()
    }

    fn inode(&self) -> u64 {
        fs::metadata(self.path("haproxy.cfg")).unwrap().ino()
    }
}

/// Ids are Synapse's since 0.16, and not looked at here.
fn without_id(line: &str) -> String {
    let mut words: Vec<_> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "id") {
        words.drain(at..at + 2);
    }
    words.join(" ")
}

/// What a file that is refused says.
#[track_caller]
fn refused(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.env_clear().args(arguments);
    let mut process = Process::start("refused", command);
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(64), "{}", process.log());
    process.log()
}

#[test]
fn the_published_file_follows_instances_with_one_rename_and_one_noop_a_change() {
    let place = Place::new();
    let [first, second] = [(); 2].map(|()| moto::launch(&place.moto, "servicename", "true"));
    moto::launch(&place.moto, "servicename", "false");
    place.write(&place.text());
    let mut synapse = place.start();
    place.shows(&synapse, &[&first, &second], 1);
    let text = fs::read_to_string(place.path("haproxy.cfg")).unwrap();
    for part in ["bind 0.0.0.0:50003", "listen stats\n\tbind :1937", "chroot /var/lib/haproxy", "mode http"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut check = Command::new(find("haproxy"));
    check.arg("-c").arg("-f").arg(place.path("haproxy.cfg"));
    let mut check = Process::start("haproxy -c", check);
    assert!(check.wait(SOON).success(), "{}", check.log());
    let before = place.inode();
    throughout(QUIET, || assert_eq!(place.inode(), before, "nothing has changed"));
    let third = moto::launch(&place.moto, "servicename", "true");
    place.shows(&synapse, &[&first, &second, &third], 2);
    let after = place.inode();
    assert_ne!(after, before, "never written in place");
    moto::terminate(&place.moto, &first);
    place.shows(&synapse, &[&second, &third], 3);
    assert_ne!(place.inode(), after);
    let last = place.inode();
    throughout(QUIET, || assert_eq!(place.inode(), last));
    place.shows(&synapse, &[&second, &third], 3);
    assert_eq!(synapse.log().matches("file written").count(), 3, "{}", synapse.log());
    let came = place.socket.accept().map(|_| ()).map_err(|err| err.kind());
    assert_eq!(came, Err(ErrorKind::WouldBlock), "do_socket is false");
    assert!(synapse.terminate(SOON).success(), "{}", synapse.log());
    assert_eq!(place.inode(), last, "the file stays");
    let text = fs::read_to_string(place.path("haproxy.cfg")).unwrap();
    assert!(text.contains(" id 5 "), "{text}");
    let synapse = place.start();
    throughout(QUIET, || assert_eq!(place.inode(), last, "ids are those of before"));
    place.shows(&synapse, &[&second, &third], 3);
    let fourth = moto::launch(&place.moto, "servicename", "true");
    place.shows(&synapse, &[&second, &third, &fourth], 4);
}

#[test]
fn a_hangup_reads_the_file_again_and_a_bad_one_changes_nothing() {
    let place = Place::new();
    let first = moto::launch(&place.moto, "servicename", "true");
    place.write(&place.text());
    let mut synapse = place.start();
    place.shows(&synapse, &[&first], 1);
    place.write(&place.text().replace("ec2tag", "zookeeper"));
    synapse.signal(Signal::HUP);
    synapse.wait_for_log(SOON, "the proxy goes on as before");
    synapse.signal(Signal::HUP);
    place.shows(&synapse, &[&first], 1);
    place.write(&place.text().replace("50003", "50004"));
    synapse.signal(Signal::HUP);
    place.shows(&synapse, &[&first], 2);
    let text = fs::read_to_string(place.path("haproxy.cfg")).unwrap();
    assert!(text.contains("bind 0.0.0.0:50004") && !text.contains("50003"), "{text}");
    assert!(synapse.terminate(SOON).success(), "{}", synapse.log());
}

#[test]
fn what_is_not_built_is_told_with_status_64() {
    let folder = TempDir::new().unwrap();
    let (file, link) = (folder.path().join("s.json"), folder.path().join("synapse"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lobbyd"), &link).unwrap();
    let path = file.display().to_string();
    fs::write(&file, FILE.replace("\"ec2tag\"", "\"zookeeper\", \"hosts\": [\"zk:2181\"], \"path\": \"/a\"")).unwrap();
    for said in [
        refused(&link, &["-c", &path]),
        refused(&link, &[&format!("--config={path}")]),
        refused(env!("CARGO_BIN_EXE_lobbyd").as_ref(), &["proxy", "--synapse", &path]),
        refused(env!("CARGO_BIN_EXE_lobbyd").as_ref(), &["proxy", "--synapse", &path, "--check-config"]),
    ] {
        for word in ["myservice", "zookeeper", "not built yet", "ec2tag", "docker"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    assert!(refused(&link, &[]).contains("--config"));
    assert!(refused(&link, &["-c", "/no/such"]).contains("/no/such"));
}

#[test]
fn a_table_of_lobbyd_runs_without_an_agent() {
    let folder = TempDir::new().unwrap();
    let (file, written) = (folder.path().join("lobby.toml"), folder.path().join("haproxy.cfg"));
    let text = format!(
        "[http]\ntoken = \"s3cret\"\n[proxy.haproxy]\nconfig = \"{}\"\nreload_command = \"true\"\n[proxy.service.web]\nport = 8080\n\
         default_servers = [\"10.0.0.1:80\"]\ndiscovery = {{ method = \"base\" }}\n",
        written.display()
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--core=409600:").arg(env!("CARGO_BIN_EXE_lobbyd")).args(["proxy", "--config"]).arg(&file);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let mut alone = Process::start("lobbyd proxy", command);
    eventually(SOON, || {
        let text = fs::read_to_string(&written).unwrap_or_default();
        expect(text.contains("10.0.0.1:80"), format!("{text}\n{}", alone.log()))
    });
    // Its secrets are as safe as an agent's.
    assert!(alone.log().contains("holds secrets and has mode 0644") && !alone.log().contains("s3cret"), "{}", alone.log());
    let limits = fs::read_to_string(format!("/proc/{}/limits", alone.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    alone.signal(Signal::INT);
    assert!(alone.wait(SOON).success(), "{}", alone.log());
    fs::write(&file, "").unwrap();
    let said = refused(env!("CARGO_BIN_EXE_lobbyd").as_ref(), &["proxy", "--config", &file.display().to_string()]);
    assert!(said.contains("[proxy]"), "{said}");
}
