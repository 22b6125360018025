//! Every entry reads as it was written, and hostile bytes are refused without harm.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn spec(draft: Draft) -> Arc<Spec> {
    Arc::new(Spec::try_new(draft, ShortIntervals::Allow).unwrap())
}

fn kinds() -> Vec<Kind> {
    let tls = Some(Tls { server_name: Some("a.example".into()), skip_verify: true });
    let http = Http {
        url: "https://a.example/health".into(),
        method: "PUT".into(),
        headers: vec![("X-A".into(), "1".into()), ("X-A".into(), "".into())],
        body: "b".into(),
        disable_redirects: true,
        tls: Tls { server_name: None, skip_verify: true },
    };
    let text = || "127.0.0.1:80".to_owned();
    vec![
        Kind::Ttl { ttl: Duration::from_nanos(1) },
        Kind::Http(http),
        Kind::Tcp { address: text(), tls: None },
        Kind::Tcp { address: text(), tls: tls.clone() },
        Kind::Udp { address: text() },
        Kind::Grpc { target: "127.0.0.1:80/web".into(), tls: Some(Tls::default()) },
        Kind::H2ping { address: text(), tls },
        Kind::Script { args: vec!["true".into(), "".into()] },
        Kind::Docker { container: "c".into(), shell: Some("/bin/sh".into()), args: vec!["true".into()] },
        Kind::Alias { service: Some("web".into()), node: None },
        Kind::Alias { service: None, node: Some("b".into()) },
        Kind::OsService { name: "ssh".into() },
        Kind::Process { pid: 7 },
        Kind::Hold,
    ]
}

fn definition(kind: Kind) -> Definition {
    let interval = if kind.is_run() { Duration::from_millis(1500) } else { Duration::ZERO };
    let process = matches!(kind, Kind::Process { .. }).then(|| Process { pid: 7, start: 1 << 40, boot: "b".into() });
    let draft = Draft {
        kinds: vec![kind],
        interval,
        timeout: Duration::from_nanos(1_000_000_007),
        initial: Some(Status::Warning),
        success_before_passing: 2,
        failures_before_warning: 3,
        failures_before_critical: 4,
        output_max_size: 100,
        deregister_after: Duration::from_secs(90),
    };
    Definition {
        id: "c".parse().unwrap(),
        name: "C".into(),
        notes: "two\nlines".into(),
        instance: Some("web".parse().unwrap()),
        spec: spec(draft),
        process,
        source: Source::Api,
    }
}

#[test]
fn every_kind_reads_as_it_was_written_and_no_cut_does() {
    for kind in kinds() {
        let written = definition(kind);
        let bytes = encode_check(&written);
        assert_eq!(decode_check(&bytes), Ok(written));
        for end in 0..bytes.len() {
            assert!(decode_check(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
    let spec = Arc::new(Spec::maintenance());
    let written = Definition { spec, ..definition(Kind::Hold) };
    assert_eq!(decode_check(&encode_check(&written)), Ok(written));
}

#[test]
fn a_registration_is_one_entry_and_its_drain_is_another() {
    let mut instance = Instance::new("web".parse().unwrap(), "web".parse().unwrap());
    instance.drain = true;
    let checks: Vec<_> = kinds().into_iter().map(definition).collect();
    let bytes = encode_registration(&instance, &Source::File("web.toml".into()), checks.iter());
    let (read, source, read_checks) = decode_registration(&instance.id, &bytes).unwrap();
    instance.drain = false;
    assert_eq!(source, Source::File("web.toml".into()));
    assert_eq!((read, read_checks), (instance.clone(), checks));
    let mut later = bytes.to_vec();
    later[0] = FORM + 1;
    assert_eq!(decode_registration(&instance.id, &later), Err(DecodeError::Range));
    later[0] = FORM;
    later.push(0);
    assert_eq!(decode_registration(&instance.id, &later), Err(DecodeError::Trailing));
}

proptest! {
    #[test]
    fn states_read_as_they_were_written(
        status in 0..3_usize, held in prop::option::of(0..3_usize), output in ".{0,40}",
        ttl in prop::option::of(any::<u32>()), critical in prop::option::of(any::<u32>()),
    ) {
        let duration = |nanos: Option<u32>| nanos.map(|nanos| Duration::from_nanos(nanos.into()));
        let saved = Saved {
            status: Status::ALL[status],
            held: held.map(|held| Status::ALL[held]),
            output: output.into(),
            ttl_left: duration(ttl),
            critical_for: duration(critical),
        };
        prop_assert_eq!(decode_state(&encode_state(&saved)), Ok(saved));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        bytes.insert(0, FORM);
        let _ = decode_state(&bytes);
        let _ = decode_check(&bytes);
        let _ = decode_registration(&"web".parse().unwrap(), &bytes);
    }
}
