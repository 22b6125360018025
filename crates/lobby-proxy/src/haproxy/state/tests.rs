//! Tests of what is read from a running HAProxy: answers of 2.6.12, and answers of nobody.

use proptest::prelude::*;

use super::*;

const INFO: &str = "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 17223\n\n";

/// As 2.6.12 writes it; columns that nobody reads are left out.
const STAT: &str = "# pxname,svname,qcur,qmax,scur,status,weight,act,bck,last_chk,addr,cookie,mode,
f,FRONTEND,,,0,OPEN,,,,,,,http,
p,FRONTEND,,,0,PAUSED,,,,,,,http,
s,FRONTEND,,,0,STOP,,,,,,,http,
web,a,0,0,0,DOWN,10,1,0,Connection refused,127.0.0.1:18001,,http,
web,b,1,0,2,no check,1,0,1,\"a \"\"quoted\"\", text
on two lines\",127.0.0.2:18001,b,http,
web,BACKEND,0,0,0,UP,2,2,0,,,,http,
empty,BACKEND,0,0,0,DOWN,0,0,0,,,,http,

";

const SERVERS: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord
3 web 1 a 127.0.0.1 0 1 10 10 1 1 0 2 6 0 0 0 - 18001 -
3 web 2 b 127.0.0.2 2 4 3 1 1 1 0 0 8 0 0 0 - 18001 -
3 web 99 d ::1 2 8 1 1 1 1 0 2 2 0 0 1 - 18001 -
3 web 9 m4 - 0 1 1 1 0 1 0 0 0 0 0 0 localhost 80 -
3 short
";

#[test]
fn a_real_answer_is_read() {
    let running = Running::parse(INFO, STAT, SERVERS).unwrap();
    assert_eq!((running.version.to_string().as_str(), running.pid), ("2.6.12", 17_223));
    assert_eq!(running.backends.keys().collect::<Vec<_>>(), ["empty", "web"]);
    let frontends: Vec<_> = running.frontends.iter().map(|(name, now)| (name.as_str(), *now)).collect();
    assert_eq!(frontends, [("f", Frontend::Open), ("p", Frontend::Paused), ("s", Frontend::Stopped)]);
    let web = &running.backends["web"];
    assert_eq!(web.len(), 4);
    let (a, b, d, m4) = (&web["a"], &web["b"], &web["d"], &web["m4"]);
    assert_eq!(
        (a.admin, a.is_up, a.is_backup, a.lacks_check, a.n_busy, a.port),
        (Admin::Maint, false, false, false, Some(0), 18_001)
    );
    // `disabled` on its line, but set ready since.
    assert_eq!((b.admin, b.is_backup, b.weight, b.initial_weight, b.n_busy), (Admin::Ready, true, 3, 1, Some(3)));
    assert_eq!(b.cookie.as_deref(), Some("b"));
    assert_eq!((d.admin, d.lacks_check, d.id, d.address), (Admin::Drain, true, Some(99), "::1".parse().ok()));
    assert_eq!((m4.address, m4.fqdn.as_deref(), m4.n_busy), (None, Some("localhost"), None));
}

#[test]
fn other_columns_do_not_matter() {
    let stat = "# svname,new,pxname,scur\nBACKEND,x,web,0\na,x,web,7\n";
    let servers = "1\n# new be_name srv_name srv_addr\n0 web a 10.0.0.1\n";
    let running = Running::parse(INFO, stat, servers).unwrap();
    assert_eq!(running.backends["web"]["a"].n_busy, Some(7));
    assert_eq!(running.backends["web"]["a"].address, "10.0.0.1".parse().ok());
}

#[test]
fn what_is_no_answer_is_refused() {
    let of = |info, stat, servers| Running::parse(info, stat, servers).unwrap_err().command;
    assert_eq!(of("Permission denied\n", STAT, SERVERS), "show info");
    assert_eq!(of(INFO, "Permission denied\n", SERVERS), "show stat");
    assert_eq!(of(INFO, STAT, ""), "show servers state");
}

proptest! {
    /// No bytes make the reader panic, and a broken answer is an error or fewer servers, not others.
    #[test]
    fn nothing_panics(info in ".{0,60}", stat in "[#a-z,\"\n 0-9é]{0,200}", cut in 0_usize..2_000, junk in ".{0,40}") {
        let _ = Running::parse(&info, &stat, &junk);
        let _ = Running::parse(INFO, &format!("# pxname,svname\n{stat}{junk}"), &format!("# be_name srv_name {junk}\n{stat}"));
        let half = |text: &str| text.chars().take(cut).collect::<String>();
        let whole = Running::parse(INFO, STAT, SERVERS).unwrap();
        if let Ok(running) = Running::parse(INFO, &half(STAT), &half(SERVERS)) {
            let count = |running: &Running| running.backends.values().map(BTreeMap::len).sum::<usize>();
            prop_assert!(count(&running) <= count(&whole), "{running:?}");
        }
    }
}
