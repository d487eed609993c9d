use super::*;
use crate::error::Code;
use proptest::prelude::*;
use serde_json::Value;

fn one_line(text: &str) -> Result<String, JsonError> {
    let mut out = String::new();
    compact(text.as_bytes(), &mut out).map(|()| out)
}

fn refused(text: impl AsRef<[u8]>) -> JsonError {
    let mut out = "before".to_owned();
    let error = compact(text.as_ref(), &mut out).expect_err("must be refused");
    assert_eq!(out, "before", "an error leaves nothing behind");
    error
}

#[test]
fn white_space_between_tokens_goes_and_all_else_stays() {
    let sent =
        "\r\n{ \"b\" : [ 1.50 , -0 , 1E5, true ,\tnull ] ,\n \"a b\" : \"\\u00e9 \\/ é\" , \"c\":{ } , \"d\":[ ] } \n";
    assert_eq!(one_line(sent).unwrap(), r#"{"b":[1.50,-0,1E5,true,null],"a b":"\u00e9 \/ é","c":{},"d":[]}"#);
    for bare in ["1", " \"x\" ", "true", "[]", "{}", "-1.5e-7"] {
        assert_eq!(one_line(bare).unwrap(), bare.trim());
    }
}

#[test]
fn the_output_is_appended_to_what_is_there() {
    let mut out = "x".to_owned();
    compact(b" [ 1 ] ", &mut out).unwrap();
    compact(b"2", &mut out).unwrap();
    assert_eq!(out, "x[1]2");
}

#[test]
fn a_line_that_has_nothing_to_drop_is_borrowed() {
    assert!(matches!(compacted(b" {\"a\":[1,2]}\n").unwrap(), Cow::Borrowed("{\"a\":[1,2]}")));
    assert!(matches!(compacted(b"{\"a\": 1}").unwrap(), Cow::Owned(line) if line == "{\"a\":1}"));
}

#[test]
fn an_error_names_line_and_column_in_characters() {
    let error = refused("{\n  \"name\": \"é\",\n  \"é\": \"x\" \"y\"\n}");
    assert_eq!((error.line, error.column), (3, 12));
    assert_eq!(error.message, "expected `,` or `}`");
    assert_eq!(error.to_string(), "line 3, column 12: expected `,` or `}`");
    let end = refused("[1,\n2");
    assert_eq!((end.line, end.column), (2, 2));
    assert_eq!(end.message, "expected `,` or `]`, but the text ends here");
}

#[test]
fn the_items_of_an_array_are_told_apart() {
    assert_eq!(items(r#"[1,"a,]",{"b":[1,2]},[3,4]]"#).unwrap(), ["1", "\"a,]\"", "{\"b\":[1,2]}", "[3,4]"]);
    assert_eq!(items("[]").unwrap().len(), 0);
    for text in ["", "{}", "[", "[1", "[,]", "[1]x"] {
        assert!(items(text).is_none(), "{text}");
    }
}

#[test]
fn what_is_no_whole_object_says_so() {
    for (text, whole) in [("{}", true), ("{\"a\":[{}],\"b\":1}", true), ("{\"a\":1,}", false), ("{,\"a\":1}", false)] {
        let mut walk = members(text);
        walk.by_ref().for_each(drop);
        assert_eq!(walk.is_whole(), whole, "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let all = "|{|}|[|]|[1,]|[,1]|{,}|{\"a\"}|{\"a\":}|{\"a\":1,}|{a:1}|{1:2}|'a'|01|-|+1|.5|1.|1e|1e+|0x1|NaN|nul|truE|tru\
        |1 2|[1]]|[1}|{\"a\":1]|\"|\"\\|\"\\x\"|\"\\u12\"|\"\\u12g4\"|\"a\tb\"|\"a\u{0}b\"|//x\n1|\u{feff}1|\u{a0}1|[1 2]|\"a\"b";
    for text in all.split('|') {
        let error = refused(text);
        assert_eq!((error.kind, error.kind.code()), (JsonErrorKind::Syntax, Code::BadJson), "{text:?}: {error}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_where_they_stand_unless_something_else_is_wrong_before() {
    let error = refused(b"[\"ab\xff\"]");
    assert_eq!((error.kind, error.line, error.column), (JsonErrorKind::Utf8, 1, 5));
    assert_eq!(refused(b"1 \xff").kind, JsonErrorKind::Utf8);
    assert_eq!(refused(b"[x, \xff").kind, JsonErrorKind::Syntax);
}

#[test]
fn a_key_that_comes_twice_is_refused_however_it_is_spelled() {
    let error = refused("{\"a\":1,\n \"b\":2, \"a\":3}");
    assert_eq!((error.kind, error.line, error.column), (JsonErrorKind::DuplicateKey, 2, 9));
    assert_eq!(error.message, "the key `a` comes twice in one object");
    for text in [r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":1,"a":2}"#, r#"[{"x":{"":1,"":2}}]"#, r#"{"\/":1,"/":2}"#] {
        assert_eq!(refused(text).kind, JsonErrorKind::DuplicateKey, "{text}");
    }
    for text in [r#"{"a":{"a":{"a":1}}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":{"b":1},"b":{"a":1}}"#, r#"{"a":1,"A":1}"#] {
        assert!(one_line(text).is_ok(), "{text}");
    }
}

#[test]
fn large_objects_find_the_first_repetition_in_any_place() {
    let object = |keys: &[String]| {
        let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    assert!(one_line(&object(&keys)).is_ok());
    for (at, copy_of) in [(199, 0), (30, 29), (25, 3), (199, 198), (24, 23), (23, 22)] {
        let mut twice = keys.clone();
        twice[at] = if at == 30 { "\\u006b29".to_owned() } else { keys[copy_of].clone() };
        assert_eq!(refused(object(&twice)).kind, JsonErrorKind::DuplicateKey, "{at}");
    }
    let same = vec!["same".to_owned(); 100_000];
    assert_eq!(refused(object(&same)).column, 11);
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800x""#, r#""\ud800\n""#, r#""\ud800\ud800""#, r#"{"\udfff":1}"#]
    {
        let error = refused(text);
        assert_eq!(error.kind, JsonErrorKind::Surrogate, "{text}");
    }
    assert_eq!(one_line(r#""\ud83d\ude00\uDBFF\uDFFF""#).unwrap(), r#""\ud83d\ude00\uDBFF\uDFFF""#);
}

#[test]
fn numbers_beyond_the_range_of_floats_are_refused_and_small_ones_kept() {
    let long = "9".repeat(309);
    for text in ["1e309", "-1e309", "1.8e308", "1e99999999999999999999", &long, &format!("{long}.5")] {
        assert_eq!(refused(text).kind, JsonErrorKind::Range, "{text}");
    }
    let fits = "1".repeat(309);
    for text in ["1.7e308", "1e-999", "0e999", "123456789012345678901234567890", &fits] {
        assert_eq!(one_line(text).unwrap(), text);
    }
}

#[test]
fn depth_is_bounded_at_its_limit_exactly() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let limit = crate::limits::JSON_DEPTH_MAX;
    assert!(one_line(&nested(limit)).is_ok());
    let error = refused(nested(limit + 1));
    assert_eq!((error.kind, error.kind.code()), (JsonErrorKind::Depth, Code::TooLarge));
    assert_eq!(refused("{\"a\":".repeat(100_000)).kind, JsonErrorKind::Depth);
}

#[test]
fn members_are_read_without_a_tree() {
    let line = r#"{"id":"al\"i,}ce","n":1,"o":{"x":["}",{"y":2}],"z":null},"\u0061":[1,[2]],"t":true}"#;
    let read: Vec<_> = members(line).map(|member| (member.key(), member.value())).collect();
    let expected = [
        ("id", r#""al\"i,}ce""#),
        ("n", "1"),
        ("o", r#"{"x":["}",{"y":2}],"z":null}"#),
        (r"\u0061", "[1,[2]]"),
        ("t", "true"),
    ];
    assert_eq!(read, expected);
    assert_eq!(get(line, "a"), Some("[1,[2]]"));
    assert_eq!(get(line, "t"), Some("true"));
    assert_eq!(get(line, "x"), None);
    assert_eq!(string_of(get(line, "id").unwrap()).unwrap(), "al\"i,}ce");
    assert_eq!(string_of("1"), None);
    for nothing in ["", "{}", "[]", "1", "null", "\"{\""] {
        assert_eq!(members(nothing).count(), 0, "{nothing}");
    }
}

#[test]
fn both_spellings_of_an_envelope_are_read() {
    let nested =
        envelope(br#" {"op" : {"data": {"a": [1, 2]} , "method":"user_create"}, "version": 7, "x":[{}]} "#).unwrap();
    assert_eq!((nested.method.as_str(), &*nested.data), ("user_create", r#"{"a":[1,2]}"#));
    assert_eq!((nested.version, nested.key), (Some(7), None));
    let flat = envelope(br#"{"method":"a\u005fb","data":null,"key":"k-1"}"#).unwrap();
    assert_eq!((flat.method.as_str(), &*flat.data, flat.key.as_deref()), ("a_b", "null", Some("k-1")));
    let dumped = envelope(
        br#"{"type":"record","version":2,"epoch":1,"time":"2026-01-01T00:00:00.000000Z","method":"m","data":"x","key":null,"state":"committed"}"#,
    );
    let dumped = dumped.unwrap();
    assert_eq!((dumped.version, dumped.key, &*dumped.data), (Some(2), None, "\"x\""));
}

#[test]
fn an_envelope_says_what_is_missing_or_wrong() {
    let long_key = format!(r#"{{"method":"m","data":1,"key":"{}"}}"#, "k".repeat(129));
    let table = [
        (r#"{"op":{"method":"m"}}"#, "op.data is missing"),
        (r#"{"method":"m"}"#, "data is missing"),
        (r#"{"op":{"data":1}}"#, "op.method is missing"),
        ("{}", "method is missing"),
        ("[1]", "expected an object with the members `method` and `data`"),
        (r#"{"op":[]}"#, "op must be an object"),
        (r#"{"op":{"method":1,"data":1}}"#, "method must be a string"),
        (r#"{"method":"m","op":{"method":"m","data":1}}"#, "either `op` or `method` and `data`, not both"),
        (r#"{"op":{"method":"m","data":1},"data":1}"#, "either `op` or `method` and `data`, not both"),
        (r#"{"method":"m","data":1,"key":""}"#, "key must be a string of 1 to 128 bytes"),
        (r#"{"method":"m","data":1,"key":7}"#, "key must be a string of 1 to 128 bytes"),
        (&long_key, "key must be a string of 1 to 128 bytes"),
        (r#"{"method":"m","data":1,"version":-1}"#, "version must be an integer"),
        (r#"{"method":"m","data":1,"version":"1"}"#, "version must be an integer"),
        (r#"{"method":"m","data":1,"version":1.0}"#, "version must be an integer"),
    ];
    for (body, message) in table {
        let error = envelope(body.as_bytes()).unwrap_err();
        assert_eq!((error.message.as_str(), error.kind), (message, JsonErrorKind::Shape), "{body}");
        assert_eq!(error.kind.code(), Code::BadRequest);
    }
    for (body, kind) in [
        (r#"{"method":"m","data":1,"data":2}"#, JsonErrorKind::DuplicateKey),
        (r#"{"op":{"method":"m","data":1,"method":"n"}}"#, JsonErrorKind::DuplicateKey),
        (r#"{"method":"m","data":{"a":1,"a":2}}"#, JsonErrorKind::DuplicateKey),
        (r#"{"method":"m","data":1,"x":{"a":1,"a":2}}"#, JsonErrorKind::DuplicateKey),
        (r#"{"method":"m","data":1} x"#, JsonErrorKind::Syntax),
        (r#"{"method":"m","data":1"#, JsonErrorKind::Syntax),
        ("x", JsonErrorKind::Syntax),
        ("", JsonErrorKind::Syntax),
    ] {
        assert_eq!(envelope(body.as_bytes()).unwrap_err().kind, kind, "{body}");
    }
}

#[test]
fn data_over_the_size_of_a_record_is_refused_with_and_without_white_space() {
    let text = "a".repeat(crate::limits::DATA_BYTES_MAX);
    for body in [format!(r#"{{"method":"m","data":"{text}"}}"#), format!(r#"{{"method":"m","data":[ "{text}" ]}}"#)] {
        assert_eq!(envelope(body.as_bytes()).unwrap_err().kind, JsonErrorKind::Size);
    }
    let just = &text[2..];
    assert!(envelope(format!(r#"{{"method":"m","data":"{just}"}}"#).as_bytes()).is_ok());
}

/// JSON-like text: mostly valid, in all spellings, with white space.
fn jsonish() -> impl Strategy<Value = String> {
    let white = "[ \t\r\n]{0,2}";
    let string = prop_oneof![
        "\"([ -!#-\\[\\]-~é√😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-cA-C][0-9a-fA-F]{3}){0,12}\"",
        "\"[ab]\"",
        "\"(\\\\ud[89ab][0-9a-f]{2}|\\\\ud[c-f][0-9a-f]{2}){0,3}\"",
    ];
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![string.clone(), number.prop_map(String::from), "true|false|null|nul|-|01|\"|\\{|\\]"];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let key = string.clone();
        let member = (white, key, white, inner.clone(), white).prop_map(|(a, k, b, v, c)| format!("{a}{k}{b}:{v}{c}"));
        let item = (white, inner, white).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        prop_oneof![
            proptest::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Accept and reject as the oracle does, but for what is ours to refuse.
fn agrees_with_the_oracle(text: &[u8]) {
    let oracle = serde_json::from_slice::<Value>(text);
    let mut out = String::new();
    match compact(text, &mut out) {
        Ok(()) => {
            let value = oracle.expect("accepted here only");
            assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value);
            assert!(
                matches!(compacted(out.as_bytes()), Ok(Cow::Borrowed(again)) if again == out),
                "not idempotent: {out}"
            );
            if let Value::Object(map) = value {
                let read: Vec<_> = members(&out).map(|m| (unescape(m.key()).into_owned(), m.value())).collect();
                assert_eq!(read.len(), map.len());
                assert!(read.iter().all(|(key, value)| serde_json::from_str::<Value>(value).unwrap() == map[key]));
            }
        }
        Err(error) => {
            let ours = matches!(error.kind, JsonErrorKind::DuplicateKey | JsonErrorKind::Depth);
            assert!(ours || oracle.is_err(), "refused here only: {error}");
        }
    }
}

proptest! {
    #[test]
    fn accepts_what_serde_json_accepts(text in jsonish()) {
        agrees_with_the_oracle(text.as_bytes());
    }

    #[test]
    fn a_byte_changed_anywhere_is_judged_as_serde_json_judges_it(text in jsonish(), at in 0_usize..200, byte: u8) {
        let mut bytes = text.into_bytes();
        let len = bytes.len();
        bytes[at % len] = byte;
        agrees_with_the_oracle(&bytes);
    }

    #[test]
    fn a_quoted_text_means_itself(text: String) {
        let mut line = String::new();
        quote(&text, &mut line);
        prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text.as_str());
        prop_assert_eq!(string_of(&line).unwrap(), text);
    }

    #[test]
    fn no_text_panics_the_readers(text in "[\\[\\]{}\",:\\\\ué1d8c ]{0,40}") {
        for member in members(&text) {
            let _ = (unescape(member.key()), string_of(member.value()));
        }
        let _ = (get(&text, "u"), string_of(&text), unescape(&text), envelope(text.as_bytes()));
    }

    #[test]
    fn an_envelope_keeps_data_as_compact_writes_it(data in jsonish()) {
        let body = format!("{{\"method\":\"m\",\"data\":{data}}}");
        match (envelope(body.as_bytes()), one_line(&data)) {
            (Ok(envelope), Ok(line)) => prop_assert_eq!(&*envelope.data, line),
            (Err(_), Err(_)) => {}
            (Ok(envelope), Err(error)) => prop_assert!(false, "{:?} {}", envelope, error),
            (Err(error), Ok(line)) => prop_assert!(false, "{} {}", error, line),
        }
    }
}

#[test]
fn strings_of_any_length_end_at_their_quote_and_nowhere_else() {
    for length in 0..100 {
        let plain = "\u{e9}".repeat(length / 2) + &"x".repeat(length % 2);
        assert_eq!(get(&format!(r#"{{"a":"{plain}","z":1}}"#), "z"), Some("1"), "{length}");
        for place in 0..length {
            let (before, after) = ("x".repeat(place), "x".repeat(length - place - 1));
            for escape in [r#"\""#, r"\\"] {
                let line = format!(r#"{{"{before}{escape}{after}":"{before}{escape}{after}","z":1}}"#);
                assert_eq!(compacted(line.as_bytes()).unwrap(), line, "{length} {place}");
                assert_eq!(get(&line, "z"), Some("1"), "{length} {place}");
            }
            let control = format!("[\"{before}\u{1f}{after}\"]");
            assert_eq!(compacted(control.as_bytes()).unwrap_err().column, place + 3, "{length} {place}");
        }
    }
}
