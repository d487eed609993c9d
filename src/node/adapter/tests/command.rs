//! Commands that hang, flood, lie and die.

use super::*;

/// A service in shell that answers `info` and `health`; `calls` are further cases, before the end of each line's.
fn service(applied: &str, calls: &str) -> String {
    format!(
        r#"while read -r line; do
  id=${{line#*:}}; id=${{id%%,*}}
  say() {{ printf '{{"id":%s,"result":%s}}\n' "$id" "$1"; }}
  case $line in
    *'"call":"info"'*) say '{{"name":"'$$'","applied_version":'{applied}'}}';;
    {calls}
    *'"call":"health"'*) say '{{}}';;
    *'"call":"validate"'*) say '[{{"ok":true,"data":"judged"}}]';;
  esac
done"#
    )
}

/// The process that answers.
fn pid(speaker: &Speaker<Exec>) -> Result<i32, Fault> {
    Ok(speaker.info()?.name.parse().unwrap())
}

fn lives(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

#[test]
fn a_command_is_told_who_asks_and_where_its_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Arc::new(OnceLock::new());
    let facts = Facts { cluster: Arc::clone(&cluster), ..facts(dir.path()) };
    let script = r#"read -r line
      case $line in *'"cluster_id":"0707'*) printf '{"id":1,"result":{"name":"%s %s %s","applied_version":7}}\n' \
        "$RIG_NODE" "$RIG_SERVICE_DIR" "$PWD";; esac"#;
    let caller = connect(&Source::Exec(script.to_owned()), facts.clone()).unwrap();
    // A cluster that becomes known later is told all the same.
    cluster.set(ClusterId([7; 16])).unwrap();
    let path = facts.service_dir.canonicalize().unwrap();
    let info = caller.info().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(info.name, format!("n1 {} {}", path.display(), here.display()));
    assert_eq!(info.applied, 7);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn answers_may_leave_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    // The first of two judgements is answered after the second.
    let calls = r#"*'"data":1}'*) first=$id;;
    *'"data":2}'*) say '[{"ok":true,"data":"two"}]'; id=$first; say '[{"ok":true,"data":"one"}]';;"#;
    let speaker = exec_of(&service("0", calls), Times::default(), dir.path());
    speaker.info().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| judge(&speaker, "1"));
        // The lines leave in the order of the calls: the second one is asked only when the first is on its way.
        until("the first call", || (speaker.wire().asked() >= 2).then_some(()));
        assert_eq!(judge(&speaker, "2").unwrap().as_deref(), Some("\"two\""));
        assert_eq!(first.join().unwrap().unwrap().as_deref(), Some("\"one\""));
    });
}

#[test]
fn a_command_that_ends_says_how_and_why() {
    for (command, status) in [
        ("echo first >&2; echo 'no module named x\x1b[0m' >&2; exit 3", "exit status 3"),
        ("echo 'no module named x\x1b[0m' >&2; kill -9 $$", "signal 9"),
        // What it leaves running has its pipes, and is ended with it.
        ("echo 'no module named x\x1b[0m' >&2; sleep 1000 & echo $! > $RIG_SERVICE_DIR/left; exit 3", "exit status 3"),
        ("read -r line; echo 'no module named x\x1b[0m' >&2; printf '{\"id\":1,\"res'; exit 3", "exit status 3"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let speaker = exec_of(command, Times::default(), dir.path());
        let before = Instant::now();
        let why = away(speaker.info().unwrap_err());
        assert!(why.contains(status) && why.ends_with("no module named x\u{fffd}[0m"), "{command}: {why}");
        assert!(before.elapsed() < Duration::from_secs(10));
        if let Ok(left) = std::fs::read_to_string(dir.path().join("service/left")) {
            until("the end of what is left", || (!lives(left.trim().parse().unwrap())).then_some(()));
        }
    }
}

#[test]
fn a_command_that_cannot_start_is_started_again_ever_more_slowly() {
    let dir = tempfile::tempdir().unwrap();
    let before = Instant::now();
    let speaker = exec_of("echo >> $RIG_SERVICE_DIR/starts; exit 1", Times::default(), dir.path());
    let starts = dir.path().join("service/starts");
    until("the fourth start", || (std::fs::read(&starts).is_ok_and(|lines| lines.len() >= 4)).then_some(()));
    // Three quarters of 50, 100 and 200 ms.
    assert!(before.elapsed() >= Duration::from_millis(262), "{:?}", before.elapsed());
    // Between two starts a call fails at once.
    until("a pause", || {
        let before = Instant::now();
        let why = away(speaker.info().unwrap_err());
        (why.contains("exit status 1") && before.elapsed() < Duration::from_millis(20)).then_some(())
    });
}

#[test]
fn what_is_no_answer_ends_the_command_and_is_named_even_when_nobody_waits() {
    for (says, detail) in [
        ("echo Listening on port 80", "`Listening on port 80` is not an answer"),
        (r#"echo '{"id":999,"result":{}}'"#, "never made"),
        (r#"echo '{"id":1}'"#, "neither a result nor an error"),
        ("echo", "is not an answer"),
        // A flood is refused at its first byte.
        ("yes | tr -d '\\n'", " and more is not an answer"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let once = format!("if mkdir $RIG_SERVICE_DIR/once 2>/dev/null; then {says}; fi\n{}", service("0", ""));
        let speaker = exec_of(&once, Times::default(), dir.path());
        let (rule, seen) = violation(until(says, || speaker.health().err()));
        assert_eq!(rule, "pipe");
        assert!(seen.contains(detail) && seen.len() < 1000, "{says}: {seen}");
        until("a good answer", || speaker.info().ok());
    }
}

#[test]
fn a_line_without_an_end_is_not_collected_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let speaker = exec_of("printf '{'; yes | tr -d '\\n'", Times { info: PATIENCE, ..Times::default() }, dir.path());
    let (rule, seen) = violation(speaker.info().unwrap_err());
    assert!(rule == "pipe" && seen.contains("longer than a line may be"), "{seen}");
}

#[test]
fn a_call_that_is_not_answered_is_over_in_time_and_its_late_answer_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    // It answers the first judgement when it hears of the second.
    let calls = r#"*'"data":1}'*) late=$id;;
    *'"data":2}'*) now=$id; id=$late; say '[{"ok":true,"data":"late"}]'; id=$now; say '[{"ok":true,"data":"now"}]';;"#;
    let speaker = exec_of(&service("0", calls), short(), dir.path());
    let process = pid(&speaker).unwrap();
    let why = away(judge(&speaker, "1").unwrap_err());
    assert_eq!(why, "it did not answer validate within 300ms");
    until("an answer in time", || judge(&speaker, "2").ok().filter(|data| data.as_deref() == Some("\"now\"")));
    assert_eq!(pid(&speaker).unwrap(), process);
}

#[test]
fn an_apply_without_an_answer_ends_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let calls = r#"*'"call":"apply"'*) ;;"#;
    let speaker = exec_of(&service("0", calls), short(), dir.path());
    let process = pid(&speaker).unwrap();
    assert_eq!(away(apply(&speaker, 1, 1).unwrap_err()), "it did not answer apply within 300ms");
    let next = until("another process", || pid(&speaker).ok().filter(|next| *next != process));
    assert!(!lives(process) && lives(next));
}

#[test]
fn a_command_that_answers_nothing_any_more_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let calls = r#"*'"call":"validate"'*) exec sleep 1000;;"#;
    let times = Times { silence: Duration::from_millis(500), ..short() };
    let speaker = exec_of(&service("0", calls), times, dir.path());
    let process = pid(&speaker).unwrap();
    // One judgement that takes too long is not the end.
    judge(&speaker, "1").unwrap_err();
    assert!(lives(process));
    judge(&speaker, "1").unwrap_err();
    let next = until("another process", || pid(&speaker).ok().filter(|next| *next != process));
    assert!(!lives(process) && lives(next));
}

#[test]
fn a_command_that_does_not_read_holds_up_nobody_and_is_killed_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let first = format!(
        "{}\necho $$ > $RIG_SERVICE_DIR/pid; exec sleep 1000",
        service("0", "*'\"call\":\"health\"'*) break;;")
    );
    let speaker = exec_of(&first, short(), dir.path());
    let process = pid(&speaker).unwrap();
    speaker.health().unwrap_err();
    // More than the pipe takes.
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    for _ in 0..3 {
        assert_eq!(away(judge(&speaker, &large).unwrap_err()), "it did not answer validate within 300ms");
    }
    assert!(lives(process));
    let before = Instant::now();
    speaker.stop();
    assert!(!lives(process));
    assert!(before.elapsed() >= Duration::from_secs(2) && before.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_stop_ends_the_command_and_the_call_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let speaker = exec_of(&service("0", "*'\"call\":\"apply\"'*) ;;"), Times::default(), dir.path());
    let process = pid(&speaker).unwrap();
    let before = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| apply(&speaker, 1, 1));
        until("the call", || (speaker.wire().asked() >= 2).then_some(()));
        speaker.stop();
        assert_eq!(away(waiting.join().unwrap().unwrap_err()), "the node stops");
    });
    assert!(!lives(process));
    assert_eq!(away(speaker.info().unwrap_err()), "the node stops");
    // Its standard input was closed; nothing had to be killed.
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[test]
fn what_it_says_on_standard_error_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let loud = format!("head -c 5000000 /dev/zero >&2; printf 'a\\377\\n\\n' >&2; {}", service("0", ""));
    let speaker = exec_of(&loud, Times::default(), dir.path());
    speaker.info().unwrap();
    speaker.health().unwrap();
}

#[test]
fn a_command_that_comes_back_with_less_is_not_asked_until_the_caller_knows() {
    let dir = tempfile::tempdir().unwrap();
    let calls = r#"*'"call":"apply"'*) say '{"applied_version":1,"results":[{"version":1}]}'; echo 1 > $RIG_SERVICE_DIR/state;;
    *'"data":0}'*) say '[{"ok":true}]'; exit;;"#;
    let speaker = exec_of(&service("$(cat $RIG_SERVICE_DIR/state || echo 0)", calls), Times::default(), dir.path());
    assert_eq!(speaker.info().unwrap().applied, 0);
    apply(&speaker, 1, 1).unwrap();
    // It ends, with its state on the disk: nobody notices.
    judge(&speaker, "0").unwrap();
    until("an answer", || judge(&speaker, "1").ok());
    // It ends, and its state is lost.
    std::fs::remove_file(dir.path().join("service/state")).unwrap();
    judge(&speaker, "0").unwrap();
    let why = until("less", || judge(&speaker, "1").err().map(away).filter(|why| why.contains("started anew")));
    assert_eq!(why, "it was started anew: it has applied version 0, and had applied 1");
    assert!(judge(&speaker, "1").is_err());
    assert_eq!(speaker.info().unwrap().applied, 0);
    judge(&speaker, "1").unwrap();
}

#[test]
fn whole_states_go_by_files_that_are_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let calls = r#"*'"call":"snapshot"'*) path=${line#*\"path\":\"}; printf state > "${path%%\"*}"; say '{"version":7}';;
    *'"call":"restore"'*'"version":8'*) path=${line#*\"path\":\"}; cat "${path%%\"*}" > $RIG_SERVICE_DIR/got; say '{"applied_version":8}';;
    *'"call":"restore"'*) say '{"applied_version":8}';;"#;
    let speaker = exec_of(&service("0", calls), Times::default(), dir.path());
    let mut out = Vec::new();
    assert_eq!(speaker.snapshot(&mut out), Ok(7));
    assert_eq!(out, b"state");
    speaker.restore(8, &mut &b"other"[..]).unwrap();
    assert_eq!(std::fs::read(dir.path().join("service/got")).unwrap(), b"other");
    assert_eq!(violation(speaker.restore(9, &mut &b""[..]).unwrap_err()).0, "restore");
    let left: Vec<_> = std::fs::read_dir(dir.path().join("service")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["got"]);

    let liar = exec_of(&service("0", r#"*'"call":"snapshot"'*) say '{"version":7}';;"#), Times::default(), dir.path());
    assert_eq!(violation(liar.snapshot(&mut out).unwrap_err()).0, "snapshot");
}

#[test]
fn what_a_killed_node_has_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let service_dir = facts(dir.path()).service_dir;
    std::fs::create_dir(&service_dir).unwrap();
    for name in ["rig-state-12.tmp", "rig-state-x.tmp", "users.db"] {
        std::fs::write(service_dir.join(name), "x").unwrap();
    }
    Spool::new(&service_dir).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&service_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["rig-state-x.tmp", "users.db"]);
}
