//! Tables of accepted and refused fields.

use super::*;
use crate::limits::SHOWN_BYTES;

fn http(url: &str) -> Http {
    Http { url: url.into(), ..Http::default() }
}

fn tcp(address: &str) -> Kind {
    Kind::Tcp { address: address.into(), tls: None }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn addresses() {
    const CASES: &[(&str, bool)] = &[
        ("localhost:80", true),
        ("10.0.0.1:65535", true),
        ("[::1]:8080", true),
        ("web.example.com:1", true),
        ("", false),
        ("localhost", false),
        (":80", false),
        ("localhost:", false),
        ("localhost:0", false),
        ("localhost:65536", false),
        ("localhost:+80", false),
        ("::1:80", false),
        ("[]:80", false),
        ("a b:80", false),
        ("a\n:80", false),
        ("http://a:80", false),
    ];
    for &(address, good) in CASES {
        assert_eq!(tcp(address).validate().is_ok(), good, "{address:?}");
        assert_eq!(Kind::Udp { address: address.into() }.validate().is_ok(), good, "{address:?}");
        assert_eq!(Kind::H2ping { address: address.into(), tls: None }.validate().is_ok(), good, "{address:?}");
        let target = format!("{address}/my.Service");
        assert_eq!(Kind::Grpc { target, tls: None }.validate().is_ok(), good, "{address:?} with a service");
    }
    assert!(Kind::Grpc { target: "a:1/x y".into(), tls: None }.validate().is_err());
}

#[test]
fn urls() {
    const CASES: &[(&str, bool)] = &[
        ("http://a", true),
        ("HTTPS://[::1]:8443/hz?x=1", true),
        ("http://", false),
        ("http:///hz", false),
        ("http://:80", false),
        ("ftp://a", false),
        ("a:80", false),
        ("", false),
        ("hät", false),
        ("http://a/ HTTP/1.1\r\nX: y", false),
    ];
    for &(url, good) in CASES {
        assert_eq!(Kind::Http(http(url)).validate().is_ok(), good, "{url:?}");
    }
}

#[test]
fn nothing_breaks_out_of_a_request_or_a_command() {
    let with_header = |name: &str, value: &str| {
        Kind::Http(Http { headers: vec![(name.into(), value.into())], ..http("http://a") }).validate().is_ok()
    };
    assert!(with_header("Host", "a:80"));
    assert!(!with_header("Host", "a\r\nX: y"));
    assert!(!with_header("Ho st", "a"));
    assert!(!with_header("", "a"));
    assert!(Kind::Http(Http { method: "PO ST".into(), ..http("http://a") }).validate().is_err());
    assert!(Kind::Script { args: strings(&["true", "a b\n"]) }.validate().is_ok());
    for args in [&[][..], &[""], &["true", "\0"]] {
        assert!(Kind::Script { args: strings(args) }.validate().is_err(), "{args:?}");
        let docker = Kind::Docker { container: "c".into(), shell: None, args: strings(args) };
        assert!(docker.validate().is_err(), "{args:?}");
    }
    let tls = Some(Tls { server_name: Some("a b".into()), skip_verify: false });
    assert!(Kind::Tcp { address: "a:1".into(), tls }.validate().is_err());
}

#[test]
fn targets_and_processes() {
    let alias = |service: Option<&str>, node: Option<&str>| {
        Kind::Alias { service: service.map(Into::into), node: node.map(Into::into) }.validate().is_ok()
    };
    assert!(alias(Some("web-1"), None) && alias(None, Some("edge-7")) && alias(Some("web-1"), Some("edge-7")));
    assert!(!alias(None, None) && !alias(Some(""), None) && !alias(Some("web-1"), Some("")));
    assert!(Kind::OsService { name: "ssh.service".into() }.validate().is_ok());
    assert!(Kind::OsService { name: String::new() }.validate().is_err());
    for (pid, good) in [(0, false), (1, true), (i32::MAX as u32, true), (i32::MAX as u32 + 1, false)] {
        assert_eq!(Kind::Process { pid }.validate().is_ok(), good, "{pid}");
    }
}

#[test]
fn bounds() {
    let args = |count, bytes| Kind::Script { args: vec!["x".repeat(bytes); count] };
    assert_eq!(args(ITEMS, 1).validate(), Ok(()));
    assert_eq!(args(ITEMS + 1, 1).validate(), Err(KindError::TooMany { field: "Args", count: ITEMS + 1 }));
    assert_eq!(args(ITEMS, TEXT_BYTES / ITEMS).validate(), Ok(()));
    assert_eq!(args(1, TEXT_BYTES).validate(), Ok(()));
    assert_eq!(args(1, TEXT_BYTES + 1).validate(), Err(KindError::TooLong { bytes: TEXT_BYTES + 1 }));
    let headers = |count| Kind::Http(Http { headers: vec![("a".into(), "b".into()); count], ..http("http://a") });
    assert_eq!(headers(ITEMS).validate(), Ok(()));
    assert_eq!(headers(ITEMS + 1).validate(), Err(KindError::TooMany { field: "Header", count: ITEMS + 1 }));
    let body = |bytes| Kind::Http(Http { body: "x".repeat(bytes), ..http("http://a") });
    assert_eq!(body(TEXT_BYTES - "http://a".len()).validate(), Ok(()));
    assert_eq!(body(TEXT_BYTES).validate(), Err(KindError::TooLong { bytes: TEXT_BYTES + "http://a".len() }));
}

#[test]
fn an_error_names_field_value_and_what_is_accepted() {
    let error = tcp("ä:http").validate().unwrap_err().to_string();
    assert!(error.contains("TCP") && error.contains("ä:http") && error.contains("host:port"), "{error}");
    let error = tcp(&"ä".repeat(5000)).validate().unwrap_err();
    assert!(matches!(&error, KindError::Form { value, .. } if value.len() == SHOWN_BYTES), "{error}");
}
