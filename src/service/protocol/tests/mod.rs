//! The texts of the protocol: what is asked, what is believed, and what is not.

mod answers;
mod problems;
mod serving;

use super::*;

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec() }
}

fn operations() -> [Operation; 2] {
    [Operation::new("user_create", r#"{"email":"a@x.org"}"#), Operation::new("user_put", "7")]
}

/// Versions 42 and up, the last of them Rig's own.
fn committed(operations: &[Operation]) -> Vec<Committed<'_>> {
    let epoch = Epoch { number: 3, ..Epoch::default() };
    let entry = |(operation, version)| Committed { version, epoch, time: 1_000_000, operation, hash: Hash([7; 32]) };
    operations.iter().zip(42..).map(entry).collect()
}

#[test]
fn calls_are_spelled_as_the_page_has_them() {
    assert_eq!(greeting("n1", None), r#"{"protocol":1,"node":"n1","cluster_id":null}"#);
    let cluster = "00112233445566778899aabbccddeeff".parse().ok();
    assert!(greeting("n\"", cluster).ends_with(r#""node":"n\"","cluster_id":"00112233445566778899aabbccddeeff"}"#));

    let [create, put] = operations();
    let asked = [Asked { operation: &create, key: Some("k\"1") }, Asked { operation: &put, key: None }];
    assert_eq!(
        validate(41, 1_000_000, &asked),
        r#"{"base_version":41,"time":"1970-01-01T00:00:01.000000Z","ops":[{"method":"user_create","data":{"email":"a@x.org"},"idempotency_key":"k\"1"},{"method":"user_put","data":7}]}"#
    );
    let control = [create, Operation::new("rig_epoch", r#"{"mode":"sync"}"#)];
    let hash = "07".repeat(32);
    assert_eq!(
        apply(&committed(&control)),
        format!(
            r#"{{"from":42,"ops":[{{"version":42,"epoch":3,"time":"1970-01-01T00:00:01.000000Z","method":"user_create","data":{{"email":"a@x.org"}},"hash":"{hash}"}},{{"version":43,"epoch":3,"time":"1970-01-01T00:00:01.000000Z","method":"rig_epoch","data":null,"hash":"{hash}"}}]}}"#
        )
    );
    assert_eq!(state_file("/a \"b\"", None), r#"{"path":"/a \"b\""}"#);
    assert_eq!(state_file("/a", Some(7)), r#"{"path":"/a","version":7}"#);
    assert_eq!(call_line(7, Call::Validate, "{}"), b"{\"id\":7,\"call\":\"validate\",\"params\":{}}\n");
}

#[test]
fn a_line_is_an_answer_or_breaks_the_pipe() {
    for (line, id, status, body) in [
        (r#"{"id":7,"result":{"a": 1}}"#, 7, 200, r#"{"a": 1}"#),
        ("{\"id\":7,\"result\":null,\"more\":[]}\r", 7, 200, "null"),
        (
            r#"{"error":{"status":409,"code":"gap","applied_version":41},"id":8}"#,
            8,
            409,
            r#"{"status":409,"code":"gap","applied_version":41}"#,
        ),
        (r#"{"id":8,"error":"no"}"#, 8, 500, "\"no\""),
        (r#"{"id":8,"error":{"status":200}}"#, 8, 500, r#"{"status":200}"#),
        (r#"{"id":8,"error":{"status":99999}}"#, 8, 500, r#"{"status":99999}"#),
    ] {
        assert_eq!(answer_line(line.as_bytes()), Ok((id, answer(status, body))), "{line}");
    }
    for line in [
        &b"hello"[..],
        b"",
        b"{}",
        b"{\"id\":7}",
        b"{\"id\":-1,\"result\":1}",
        b"{\"id\":\"7\",\"result\":1}",
        b"{\"id\":7,\"result\":1,\"error\":2}",
        b"{\"id\":7,\"id\":8,\"result\":1}",
        b"{\"id\":7,\"result\":1} {\"id\":8,\"result\":1}",
        b"{\"id\":7,\"result\":\"\xff\"}",
    ] {
        let broken = answer_line(line).unwrap_err();
        assert_eq!(broken.rule, "pipe", "{}", broken.detail);
    }
    let long = format!("{{\"id\":{}", "x\u{1b}".repeat(1000));
    let broken = answer_line(long.as_bytes()).unwrap_err();
    assert!(broken.detail.len() < 800 && !broken.detail.contains('\u{1b}'), "{}", broken.detail);
}

#[test]
fn no_answer_panics_anything() {
    let good = [
        r#"{"protocol":1,"name":"users","applied_version":41,"methods":["a"],"examples":[{"method":"a","data":[1]}]}"#,
        r#"{"results":[{"ok":true,"data":{"id":"u1"},"resources":["a",{"name":"b","shared":true}]},{"ok":false,"problem":{"status":409}}]}"#,
        r#"{"applied_version":43,"results":[{"version":42,"result":{"error":{"status":409}}},{"version":43,"duplicate":true}]}"#,
        r#"{"status":409,"code":"gap","applied_version":41}"#,
        r#"{"id":7,"error":{"status":409,"code":"gap","applied_version":18446744073709551615}}"#,
    ];
    let operations = operations();
    let asked = operations.each_ref().map(|operation| Asked { operation, key: None });
    let sent = committed(&operations);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut dice = |sides: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % sides as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut body = good[dice(good.len())].as_bytes().to_vec();
        for _ in 0..=dice(3) {
            let place = dice(body.len());
            match dice(3) {
                0 => body[place] = b"{}[]\",:0123456789\\etfn-\xff \n"[dice(26)],
                1 => drop(body.drain(place..(place + dice(8)).min(body.len()))),
                _ => body.extend_from_within(place..),
            }
            if body.is_empty() {
                body.push(b'{');
            }
        }
        for status in [200, 409, 503, 204, 0] {
            let answer = Answer { status, body: body.clone() };
            let _ = (info(&answer), verdicts(&answer, &asked), applied(&answer, &sent));
            let _ = (saved(&answer), restored(&answer, 7), refusal(Call::Health, &answer));
        }
        let _ = answer_line(&body);
    }
}
