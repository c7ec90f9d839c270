#![allow(clippy::unwrap_used, clippy::expect_used)]

use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::node::tests::{any_json, any_key};
use super::*;

fn object() -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "labels": {"app.kubernetes.io/name": "shop", "team-a": "x", "it's": "quoted", "a\"b": "double"},
        },
        "spec": {
            "replicas": 3, "none": null, "big": 18446744073709551615u64,
            "containers": [
                {"name": "app", "image": "shop:1", "ports": [{"port": 80}, {"port": 443}]},
                {"name": "proxy", "image": "envoy:2"},
            ],
        },
        "status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Progressing", "status": "False"},
        ]},
    })
}

fn find(path: &str, object: &Value) -> Value {
    let path = Path::compile(path).unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
    let node = Node::from(object);
    let found = match path.find(&node).unwrap() {
        Found::Nothing => return Value::String("nothing".into()),
        Found::One(node) => serde_json::to_string(node),
        Found::Many(nodes) => serde_json::to_string(&nodes),
    };
    serde_json::from_str(&found.unwrap()).unwrap()
}

#[test]
fn regular_expressions_are_bounded() {
    for (path, part) in [
        (r"$.a[?match(@.n, '\\pL{500}')]", "too large"),
        ("$.a[?search(@.n, '(')]", "invalid"),
        (r#"$.a[?match(@.n, "x\"(")]"#, "invalid"),
        ("$.a[?search(@.n, @.pattern)]", "not a text in quotes"),
        ("$.a[?@.x == 1 && match(value(@.n), $.p)]", "not a text in quotes"),
    ] {
        let refusal = Path::compile(path).err().unwrap_or_else(|| panic!("{path} compiles"));
        assert!(refusal.message.contains(part), "{path}: {}", refusal.message);
    }
    let names =
        |count: usize| json!({"a": (0..count).map(|n| json!({"n": format!("x{n}")})).collect::<Vec<_>>()});
    let path = "$.a[?search(@.n, '^x(1|y)$')].n";
    assert_eq!(find(path, &names(100)), json!(["x1"]));
    let many = names(1_000);
    assert!(Path::compile(path).unwrap().find(&Node::from(&many)).is_err(), "it visits more than it may");
    assert_eq!(find("$.a[?@.n == 'x1'].n", &many), json!(["x1"]));
}

#[test]
fn every_spelling_of_a_path_finds_the_same() {
    let object = object();
    for (paths, expected) in [
        (
            &[
                "$.spec.replicas",
                ".spec.replicas",
                "{.spec.replicas}",
                "{$.spec.replicas}",
                " $.spec.replicas ",
                "{ .spec.replicas }",
                "$['spec']['replicas']",
                "$[\"spec\"].replicas",
                "['spec']['replicas']",
                "$.spec['replicas']",
                "$.spec[ 'replicas' ]",
                "$.sp\\ec.replicas",
                "$['\\u0073pec'].replicas",
            ][..],
            json!(3),
        ),
        (
            &[
                "$.metadata.labels['app.kubernetes.io/name']",
                "{.metadata.labels.app\\.kubernetes\\.io/name}",
                ".metadata.labels.app\\.kubernetes\\.io/name",
                "{.metadata.labels['app.kubernetes.io/name']}",
                "$.metadata.labels.app\\.kubernetes\\.io\\/name",
            ],
            json!("shop"),
        ),
        (&["$.metadata.labels.team-a", "$.metadata.labels['team-a']"], json!("x")),
        (&["$.metadata.labels['it\\'s']", "$.metadata.labels[\"it's\"]"], json!("quoted")),
        (&["$.metadata.labels['a\"b']", "$.metadata.labels[\"a\\\"b\"]"], json!("double")),
        (
            &["$.spec.containers[0].image", ".spec.containers.[0].image", "$.spec.containers[-2].image"],
            json!("shop:1"),
        ),
        (&["$.spec.containers[1].image", "$.spec.containers[-1].image"], json!("envoy:2")),
        (
            &[
                "$.spec.containers[*].image",
                "{.spec.containers[*].image}",
                "$.spec.containers[ * ].image",
                "$.spec.containers[:].image",
                "$.spec.containers.*.image",
                "$..image",
                "{..image}",
                "..image",
            ],
            json!(["shop:1", "envoy:2"]),
        ),
        (
            &[
                "$.spec.containers[0:1].name",
                "$.spec.containers[:1].name",
                "$.spec.containers[?@.name=='app'].name",
                "{.spec.containers[?(@.name==\"app\")].name}",
                "$.spec.containers[?(@.image == 'shop:1')]['name']",
                "$.spec.containers[?match(@.name, 'a.*')].name",
                "$.spec.containers[?length(@.name) < 4].name",
            ],
            json!(["app"]),
        ),
        (&["$.status.conditions[?(@.type=='Ready')].status"], json!(["True"])),
        (&["$.spec.containers[0]['name','image']"], json!(["app", "shop:1"])),
        (&["$.spec.containers[::-1].name"], json!(["proxy", "app"])),
        (&["$..ports[*].port", "$.spec.containers[*].ports[*].port"], json!([80, 443])),
        (&["$.metadata.labels.*", "$.metadata.labels[*]"], json!(["double", "shop", "quoted", "x"])),
        (&["$.spec.none"], Value::Null),
        (&["$.spec.big"], json!(18446744073709551615u64)),
        (&["$", "{.}", ".", "{$}"], object.clone()),
    ] {
        for path in paths {
            assert_eq!(find(path, &object), expected, "{path}");
        }
    }
}

#[test]
fn a_path_that_leads_nowhere_finds_nothing() {
    for path in [
        "$.nope",
        "$.spec.replicas.deeper",
        "$.spec[0]",
        "$.spec.containers.name",
        "$.spec.containers[2]",
        "$.spec.containers[-3]",
        "$.spec.containers['0']",
        "$.nope[*]",
        "$.spec.replicas[*]",
        "$..nope",
        "$.spec.containers[?@.name=='x']",
        "$.spec.containers[5:]",
        "$.spec.none.deeper",
    ] {
        assert_eq!(find(path, &object()), "nothing", "{path}");
    }
}

#[test]
fn only_a_path_that_can_name_several_values_yields_a_list() {
    for (path, list) in [
        ("$.a", false),
        ("$.a[0].b", false),
        ("$['a']", false),
        ("$", false),
        ("$.a[-1]", false),
        ("$.a[*]", true),
        ("$.a.*", true),
        ("$..a", true),
        ("$.a[0:1]", true),
        ("$.a[?@.b]", true),
        ("$['a','b']", true),
        ("$.a[0,1]", true),
        ("$..['a']", true),
    ] {
        assert_eq!(Path::compile(path).unwrap().yields_list(), list, "{path}");
    }
}

#[test]
fn text_that_is_no_path_is_refused_with_a_remedy() {
    for (path, message, remedy) in [
        ("", "the path is empty", "write a JSONPath such as"),
        ("  ", "the path is empty", "write a JSONPath such as"),
        (
            "spec.replicas",
            "neither a JSONPath nor a CEL expression",
            "write `$.spec.replicas`; if CEL is meant, write `cel:object.spec.replicas`",
        ),
        ("object.spec", "neither a JSONPath nor a CEL expression", "write `cel:object.spec`"),
        ("@.a", "neither a JSONPath nor a CEL expression", "write a JSONPath such as"),
        ("$spec", "neither a JSONPath nor a CEL expression", "write a JSONPath such as"),
        ("{.a", "opening brace", "end it with `}`"),
        ("{.a}{.b}", "character `}`", "quote the key"),
        ("{range .items[*]}{.a}{end}", "neither", "write a JSONPath"),
        ("$.a[", "brackets or parentheses that do not match", "close each"),
        ("$.a[0", "brackets or parentheses that do not match", "close each"),
        ("$.a]", "character `]`", "quote the key"),
        ("$.a['b]", "opening quote", "close the quote"),
        ("$.a[?(@.b]", "brackets or parentheses that do not match", "close each"),
        ("$.a[]", "not a valid JSONPath", "RFC 9535"),
        ("$.a.", "a dot that no key follows", "remove the dot"),
        ("$.a...b", "a dot that no key follows", "remove the dot"),
        ("$..", "a dot that no key follows", "remove the dot"),
        ("$.a b", "character ` `", "quote the key"),
        ("$.a[0]b", "`b` where a `.` or `[` is expected", "separate keys"),
        ("$.a\\", "ends in a backslash", "remove it"),
        ("$.a['\\x']", "an escape that JSON does not have", "only the escapes of JSON"),
        ("$.a['\\ud800']", "an escape that JSON does not have", "only the escapes of JSON"),
        ("$.a[01]", "leading zero", "without"),
        ("$.a[99999999999999999999]", "out of range", "use a position"),
        ("$.a[9007199254740992]", "out of range", "use a position"),
        ("$.a[b]", "not a valid JSONPath", "RFC 9535"),
        ("$.a[?@.b==]", "not a valid JSONPath", "RFC 9535"),
        ("$.a[?@.b=='x' &&]", "not a valid JSONPath", "RFC 9535"),
        ("$.a[?in(@.b, $.c)]", "the function `in`", "count, length"),
        ("$.a[?len(@.b) > 1]", "the function `len`", "count, length"),
        ("$.a[?(((((((((@.b)))))))))]", "deeper than 8 levels", "simplify"),
    ] {
        let refusal = Path::compile(path).map(|_| path).expect_err("refused");
        assert!(refusal.message.contains(message), "{path}: {refusal:?}");
        assert!(refusal.remedy.contains(remedy), "{path}: {refusal:?}");
        assert!(refusal.message.starts_with(|c: char| !c.is_uppercase()) && !refusal.message.contains('\n'));
    }
    let long = format!("$.{}", "a".repeat(5000));
    assert!(Path::compile(&long).expect_err("refused").message.contains("5002 bytes"));
}

#[test]
fn a_word_before_a_parenthesis_in_quotes_is_no_function() {
    assert_eq!(find("$.spec.containers[?@.name=='len(x)']", &object()), "nothing");
    assert_eq!(find("$.spec.containers[?(@.name=='app') && (@.image)].name", &object()), json!(["app"]));
}

#[test]
fn paths_that_ask_for_too_much_work_end_without_a_result() {
    let mut tree = json!([1, 2]);
    for _ in 0..100 {
        tree = json!([tree]);
    }
    let node = Node::from(&tree);
    let union = format!("${}", "[0,0,0,0]".repeat(40));
    let descents = "$..*..*..*..*..*..*..*..*";
    let filters = format!("$..*[?count($..[?count($..*) > 0]) > 0]{}", "");
    for path in [&union, descents, &filters] {
        assert_eq!(Path::compile(path).unwrap().find(&node).expect_err("too much"), Exhausted, "{path}");
    }
}

#[derive(Clone, Debug)]
enum Hop {
    Key(String),
    Index(i64),
    Every,
}

fn any_hops() -> impl Strategy<Value = Vec<Hop>> {
    prop::collection::vec(
        prop_oneof![
            6 => any_key().prop_map(Hop::Key),
            2 => (-3..4i64).prop_map(Hop::Index),
            2 => Just(Hop::Every),
        ],
        0..5,
    )
}

/// Hops along a value, so that random paths lead somewhere.
fn leading(value: &Value, seed: &[usize]) -> Vec<Hop> {
    let Some((first, rest)) = seed.split_first() else { return Vec::new() };
    let (hop, next) = match value {
        Value::Array(items) if !items.is_empty() => {
            let at = first % items.len();
            let from_end = i64::try_from(at).unwrap() - i64::try_from(items.len()).unwrap();
            (Hop::Index(if first % 3 == 0 { from_end } else { i64::try_from(at).unwrap() }), &items[at])
        }
        Value::Object(members) if !members.is_empty() => {
            let (key, next) = members.iter().nth(first % members.len()).unwrap();
            (Hop::Key(key.clone()), next)
        }
        _ => return Vec::new(),
    };
    let hop = if first % 5 == 0 { Hop::Every } else { hop };
    std::iter::once(hop).chain(leading(next, rest)).collect()
}

fn rfc(hops: &[Hop]) -> String {
    let mut text = String::from("$");
    for hop in hops {
        match hop {
            Hop::Key(key) => Segment::Key(key.clone()),
            Hop::Index(position) => Segment::Index(*position),
            Hop::Every => Segment::Every,
        }
        .write(&mut text);
    }
    text
}

proptest! {
    #[test]
    fn the_direct_walk_finds_what_the_engine_finds(
        value in any_json(), random in any_hops(), seed in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        for hops in [random, leading(&value, &seed)] {
            let text = rfc(&hops);
            let path = Path::compile(&text).unwrap();
            prop_assert!(matches!(path.route, Route::Steps(_)));
            // The engine's own view of serde_json's tree: nothing of ours is in it.
            let query = parse_json_path(&text).unwrap();
            let expected: Vec<&Value> =
                js_path_process(&query, &value).unwrap().into_iter().map(|found| found.val()).collect();
            let node = Node::from(&value);
            let found: Vec<&Node<'_>> = match path.find(&node).unwrap() {
                Found::Nothing => Vec::new(),
                Found::One(node) => vec![node],
                Found::Many(nodes) => nodes,
            };
            let expected: Vec<Node<'_>> = expected.into_iter().map(Node::from).collect();
            prop_assert!(found == expected.iter().collect::<Vec<_>>(), "{}", text);
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused_and_finding_never_panics(text in ".{0,40}", value in any_json()) {
        for text in [format!("$.{text}"), format!("$[{text}]"), text] {
            if let Ok(path) = Path::compile(&text) {
                let _ = path.find(&Node::from(&value));
            }
        }
    }

    #[test]
    fn jsonpath_like_text_compiles_or_is_refused_and_finding_never_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            ".", "..", "a", "b", "[", "]", "*", "?", "@", "$", "(", ")", "'a'", "\"b\"", "0", "-1", ":", ",", "==", "<", "&&", "||", "!",
            "length", "count", "match", "search", "value", " ", "1.5e3", "null", "true", "\\", "{", "}", "9007199254740991", "-9007199254740991",
        ]), 0..14),
        value in any_json(),
    ) {
        for text in [parts.concat(), format!("$[?{}]", parts.concat()), format!("$[{}]", parts.concat())] {
            if let Ok(path) = Path::compile(&text) {
                let _ = path.find(&Node::from(&value));
            }
        }
    }
}
