//! How `lobbyctl template` reaches a real agent: over TLS, by a socket, with what a Consul's clients are given.

use std::{fs, path::Path};

use lobby_testkit::{TempDir, tls::Ca};

use crate::fleet::{ctl_command, daemon};

#[test]
fn an_agent_is_reached_over_tls_and_by_its_socket() {
    let (ca, other, folder) = (Ca::new(), Ca::new(), TempDir::new().unwrap());
    let path = |path: &Path| path.display().to_string();
    let socket = path(&folder.path().join("sock"));
    let agent = daemon("a").env("TLS_CERT", path(&ca.cert)).env("TLS_KEY", path(&ca.key)).env("SOCKET", &socket).start();
    fs::write(folder.path().join("a.tmpl"), "{{range nodes}}{{.Node}} {{end}}\n").unwrap();
    let render = |flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = ctl_command(&agent, &["template", "-once", "-consul-retry=false", "-template", "a.tmpl:a"]);
        // Nobody answers at the local agent's address.
        command.args(flags).current_dir(folder.path()).env("PORT", "1").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let file = fs::read_to_string(folder.path().join("a")).unwrap_or_default();
        let _ = fs::remove_file(folder.path().join("a"));
        (output.status.code(), file, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let address = format!("localhost:{}", agent.http.port());
    let (https, unix) = (format!("https://{address}"), format!("unix://{socket}"));
    let (root, strange) = (path(&ca.root), path(&other.root));
    let authorities = folder.path().join("authorities");
    fs::create_dir(&authorities).unwrap();
    fs::copy(&ca.root, authorities.join("1.pem")).unwrap();
    fs::copy(&other.root, authorities.join("2.pem")).unwrap();
    let authorities = path(&authorities);
    for (flags, variables) in [
        (&["-consul-addr", &*https, "-consul-ssl-ca-cert", &root][..], &[][..]),
        (&["-consul-addr", &address, "-consul-ssl", "-consul-ssl-ca-path", &authorities], &[]),
        (&["-consul-addr", &https, "-consul-ssl-verify=false", "-log-level=err"], &[]),
        (&[], &[("CONSUL_HTTP_ADDR", &*https), ("CONSUL_CACERT", &root)]),
        (&[], &[("PROTO", "https"), ("HOST", "localhost"), ("PORT", &address[10..]), ("CA_CERT", &root)]),
        (&["-consul-addr", &unix], &[]),
        (&[], &[("CONSUL_HTTP_ADDR", &unix)]),
        (&[], &[("SOCKET", &socket)]),
    ] {
        let (code, file, said) = render(flags, variables);
        assert_eq!((code, &*file, &*said), (Some(0), "a \n", ""), "{flags:?} {variables:?}");
    }
    let (code, file, said) = render(&["-consul-addr", &https, "-consul-ssl-ca-cert", &strange], &[]);
    assert_eq!((code, &*file), (Some(14), ""), "{said}");
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    let (code, _, said) = render(&["-consul-addr", &https, "-consul-ssl-ca-cert", "/no/such"], &[]);
    assert_eq!(code, Some(15), "{said}");
    assert!(said.contains("CONSUL_CACERT): cannot read /no/such: No such file"), "{said}");
}

#[test]
fn a_token_is_that_of_the_flag_or_the_local_agents() {
    let agent = daemon("a").env("TOKEN", "s3cret").start();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.tmpl"), "{{range nodes}}{{.Node}}{{end}}\n").unwrap();
    fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    for (flag, variable, want) in [
        ("-consul-token=s3cret", "", 0),
        ("-consul-token-file=token", "", 0),
        ("-once", "s3cret", 0),
        ("-consul-token=another", "s3cret", 14),
        ("-once", "", 14),
    ] {
        let mut command = ctl_command(&agent, &["template", "-once", "-consul-retry=false", "-template", "a.tmpl:a", flag]);
        let output = command.env("TOKEN", variable).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(want), "{flag} {variable}: {output:?}");
    }
}
