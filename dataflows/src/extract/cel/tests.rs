#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::node::tests::any_json;
use super::*;

fn object() -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}, "creationTimestamp": "2026-03-14T09:26:53Z"},
        "spec": {
            "replicas": 3, "ratio": 0.5, "whole": 2.0, "paused": false, "none": null,
            "small": i64::MIN, "big": u64::MAX,
            "args": ["b", "a"],
            "containers": [
                {"name": "app", "image": "registry/shop:1", "ports": [80, 443]},
                {"name": "proxy", "image": "envoy:2", "ports": []},
            ],
        },
        "empty": {},
    })
}

pub(super) fn run(expression: &str, object: &Value) -> Result<Value, Outcome> {
    let expression =
        Expression::compile(expression).unwrap_or_else(|refusal| panic!("{expression}: {refusal:?}"));
    let node = Node::from(object);
    let mut out = b"before".to_vec();
    match expression.evaluate(&Scope::new(&node), &mut out) {
        Outcome::Value => Ok(serde_json::from_slice(&out[6..]).unwrap()),
        outcome => {
            assert_eq!(out, b"before", "nothing is left of a failed evaluation");
            Err(outcome)
        }
    }
}

#[test]
fn expressions_give_what_cel_says() {
    let object = object();
    for (expression, expected) in [
        // Selection.
        ("object.metadata.name", json!("web")),
        ("object['metadata']['name']", json!("web")),
        ("object.spec.containers[0].image", json!("registry/shop:1")),
        ("object.spec.containers[1u].name", json!("proxy")),
        ("object.spec.containers[1.0].name", json!("proxy")),
        ("object.metadata.labels", json!({"app": "web", "tier": "front"})),
        ("object", object.clone()),
        ("object.spec.none", Value::Null),
        ("object.spec.none == null", json!(true)),
        // has() and optionals.
        ("has(object.spec.replicas)", json!(true)),
        ("has(object.spec.nope)", json!(false)),
        ("has(object.spec.none)", json!(true)),
        ("has(object.spec) && has(object.spec.containers)", json!(true)),
        ("object.?spec.?nope.orValue(7)", json!(7)),
        ("object.?spec.?replicas.orValue(7)", json!(3)),
        ("object.?nope.?deeper.hasValue()", json!(false)),
        ("object.spec.containers[?5].orValue('none')", json!("none")),
        ("object.?spec.optMap(s, s.replicas + 1)", json!(4)),
        ("object.?metadata.labels.?app", json!("web")),
        ("[object.?nope, object.?kind]", json!([null, "Deployment"])),
        // in
        ("'app' in object.metadata.labels", json!(true)),
        ("'nope' in object.metadata.labels", json!(false)),
        ("1 in object.metadata.labels", json!(false)),
        ("'a' in object.spec.args", json!(true)),
        ("[80, 443] in object.spec.containers.map(c, c.ports)", json!(true)),
        ("object.spec.containers[0].ports in [[80, 443]]", json!(true)),
        ("object.metadata.name in ['web', 'api']", json!(true)),
        ("object.metadata.name in {'web': 1}", json!(true)),
        ("!(object.kind in ['Pod'])", json!(true)),
        // size()
        ("size(object.spec.containers)", json!(2)),
        ("timestamp('2024-01-02T03:04:05+02:00').getHours()", json!(1)),
        ("timestamp('2024-01-02T03:04:05+02:00').getDate('+05:00')", json!(2)),
        ("['2024-01-02T00:30:00+02:00'].map(t, timestamp(t).getFullYear())", json!([2024])),
        ("timestamp('2024-01-02T03:04:05+02:00')", json!("2024-01-02T01:04:05Z")),
        ("object.metadata.labels.size()", json!(2)),
        ("size(object.metadata.name)", json!(3)),
        ("size(object.empty) == 0", json!(true)),
        // Macros over lists and maps.
        ("object.spec.containers.map(c, c.image)", json!(["registry/shop:1", "envoy:2"])),
        ("object.spec.containers.filter(c, size(c.ports) > 0).map(c, c.name)", json!(["app"])),
        ("object.spec.containers.map(c, c.name != 'app', c.image)", json!(["envoy:2"])),
        ("object.spec.containers.all(c, has(c.image))", json!(true)),
        ("object.spec.containers.exists(c, c.name == 'proxy')", json!(true)),
        ("object.spec.containers.exists_one(c, c.name.startsWith('p'))", json!(true)),
        ("object.spec.containers.map(c, c.ports.map(p, p + 1))", json!([[81, 444], []])),
        (
            "object.metadata.labels.map(k, k + '=' + object.metadata.labels[k])",
            json!(["app=web", "tier=front"]),
        ),
        ("object.metadata.labels.all(k, k != 'nope')", json!(true)),
        ("{'z': 1, 'b': 2, 'a': 3, 'k': 4}.map(k, k)", json!(["a", "b", "k", "z"])),
        ("{3: 'c', 1: 'a', 2: 'b'}.map(k, k)", json!([1, 2, 3])),
        ("['web'].exists(object, object == 'web')", json!(true)),
        // Equality and order, whichever side is lazy.
        ("object.spec.args == ['b', 'a']", json!(true)),
        ("['b', 'a'] == object.spec.args", json!(true)),
        ("['b'] == object.spec.args", json!(false)),
        ("object.spec.args != ['b', 'a']", json!(false)),
        ("object.metadata.labels == {'tier': 'front', 'app': 'web'}", json!(true)),
        ("{'tier': 'front', 'app': 'web'} == object.metadata.labels", json!(true)),
        ("{'tier': 'front', 'app': 'x'} == object.metadata.labels", json!(false)),
        ("[object.spec.args] == [['b', 'a']] && [['b', 'a']] == [object.spec.args]", json!(true)),
        ("{'k': object.metadata.labels} == {'k': {'app': 'web', 'tier': 'front'}}", json!(true)),
        ("object.spec.args == object.metadata.labels", json!(false)),
        ("object == object", json!(true)),
        ("optional.of(object.spec.args) == optional.of(['b', 'a'])", json!(true)),
        (
            "object.spec.replicas == 3 && object.spec.replicas == 3.0 && 3u == object.spec.replicas",
            json!(true),
        ),
        ("object.metadata.name < 'x' && object.spec.replicas >= 3", json!(true)),
        ("object.spec.big > object.spec.small", json!(true)),
        ("object.kind == 'Deployment' ? 'yes' : 'no'", json!("yes")),
        // Concatenation and arithmetic.
        ("object.spec.args + ['c']", json!(["b", "a", "c"])),
        ("['c'] + object.spec.args", json!(["c", "b", "a"])),
        ("object.spec.args + object.spec.args", json!(["b", "a", "b", "a"])),
        ("object.metadata.name + '-' + string(object.spec.replicas)", json!("web-3")),
        ("object.spec.replicas * 2 - 1", json!(5)),
        ("object.spec.ratio * 2.0", json!(1.0)),
        // Numbers.
        ("object.spec.small", json!(i64::MIN)),
        ("object.spec.big", json!(u64::MAX)),
        ("9223372036854775807", json!(i64::MAX)),
        ("18446744073709551615u", json!(u64::MAX)),
        ("object.spec.whole", json!(2.0)),
        ("int(object.spec.whole)", json!(2)),
        // Other types.
        ("timestamp(object.metadata.creationTimestamp)", json!("2026-03-14T09:26:53Z")),
        ("timestamp('2026-03-14T10:26:53.120+01:00')", json!("2026-03-14T09:26:53.12Z")),
        ("duration('90m')", json!("1h30m0s")),
        (
            "timestamp('2026-03-15T00:00:00Z') - timestamp(object.metadata.creationTimestamp)",
            json!("14h33m7s"),
        ),
        ("bytes('ok?')", json!("b2s/")),
        ("type(object) == map && type(object.spec.args) == list", json!(true)),
        ("type(object.spec.replicas)", json!("int")),
        ("{'b': 1, 'a': {2: true, false: 'x'}}", json!({"a": {"2": true, "false": "x"}, "b": 1})),
        ("'a\\n\"b\"'", json!("a\n\"b\"")),
        // Regular expressions.
        ("object.spec.containers.filter(c, c.image.matches('^registry/')).map(c, c.name)", json!(["app"])),
        ("matches(object.kind, 'Deploy.*')", json!(true)),
        ("object.kind.matches('^' + object.kind + '$')", json!(true)),
        // Errors that the result does not depend on.
        ("object.nope == 1 || true", json!(true)),
        ("object.spec.containers.exists(c, c.ports[1] == 443)", json!(true)),
    ] {
        assert_eq!(run(expression, &object), Ok(expected), "{expression}");
    }
}

#[test]
fn an_empty_optional_is_no_value() {
    for expression in
        ["object.?nope", "object.?spec.?nope.?deeper", "optional.none()", "object.spec.?containers[9]"]
    {
        assert_eq!(run(expression, &object()), Err(Outcome::Nothing), "{expression}");
    }
}

#[test]
fn failures_say_what_went_wrong() {
    for (expression, message) in [
        ("object.nope", "there is no key `nope`"),
        ("object.metadata.labels['nope']", "there is no key `nope`"),
        ("object.metadata.labels[1]", "there is no such key"),
        ("object.spec.containers[2]", "a list has no element at the position asked for"),
        ("object.spec.containers[-1]", "a list has no element at the position asked for"),
        ("object.spec.replicas.deeper", "a selection with `.` can't be applied to (int, string)"),
        ("object.spec.containers.name", "a selection with `.` can't be applied to (list, string)"),
        ("object.spec.args['x']", "a selection with `[ ]` can't be applied to (list, string)"),
        ("object.spec.replicas + 'x'", "`+` can't be applied to (int, string)"),
        ("object.spec.replicas - 'x'", "an operator can't be applied to values of these types"),
        ("object.spec.args - object.spec.args", "an operator can't be applied to values of these types"),
        ("object.spec.args + object.metadata.labels", "`+` can't be applied to (list, map)"),
        ("['a'] + {'b': 1, 'c': 2}", "`+` can't be applied to (list, map)"),
        ("object.spec.args + 'x'", "`+` can't be applied to (list, string)"),
        ("object.spec.args < object.spec.args", "`<` can't be applied to (list, list)"),
        ("object.spec.replicas in object.spec.replicas", "`in` can't be applied to (int, int)"),
        ("[1] in {'a': 1}", "`in` can't be applied to (list, map)"),
        ("size(object.spec.replicas)", "`size` can't be applied to (int)"),
        ("object.spec.replicas.startsWith('a')", "`startsWith` can't be applied to (int, string)"),
        ("object.spec.replicas.matches('a')", "`matches` can't be applied to (int, string)"),
        ("object.spec.replicas.map(x, x)", "a value is of type int, not iterable"),
        ("object.kind ? 1 : 2", "a value is of type string, not bool"),
        ("int(object.kind)", "`int` can't be applied to its argument's value"),
        ("timestamp(object.kind)", "`timestamp` can't be applied to its argument's value"),
        ("1 / (object.spec.replicas - 3)", "a number is divided by zero"),
        ("object.spec.replicas % 0", "a remainder is taken by zero"),
        ("object.spec.small - 1", "a number, time or duration is out of range"),
        ("{object.kind: 1, 'Deployment': 2}", "a map has the same key twice"),
        ("{object.spec.args: 1}", "a value is used as a key that can't be one"),
        ("1.0 / 0.0", "a number that is not finite"),
        ("[0.0 / 0.0]", "a number that is not finite"),
        ("{1: 'a', '1': 'b'}", "two keys that are the same in JSON"),
        (
            "object.kind.matches(object.kind + '[')",
            "`matches` is given an invalid or too large regular expression",
        ),
    ] {
        match run(expression, &object()) {
            Err(Outcome::Failure(failure)) => assert!(failure.contains(message), "{expression}: {failure}"),
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn failures_show_no_value_of_the_object() {
    let object = json!({"a": "canary", "m": {"canary": 1}, "l": ["canary"]});
    for expression in [
        "object[object.a]",
        "object.l[object.a]",
        "int(object.a)",
        "timestamp(object.a)",
        "duration(object.a)",
        "object.a + 1",
        "object.a < 1",
        "object.a ? 1 : 2",
        "-object.a",
        "{object.a: 1, 'can' + 'ary': 2}",
        "object.a.matches(object.a + '[')",
        "{object.l: 1}",
        "object.m + object.l",
        "object.a.deeper",
        "{[object.a]: 1}",
        "double(object.a) / 0.0",
        "object.l - object.m",
    ] {
        match run(expression, &object) {
            Err(Outcome::Failure(failure)) => assert!(!failure.contains("canary"), "{expression}: {failure}"),
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn expressions_that_can_only_fail_are_refused_with_a_remedy() {
    for (expression, message, remedy) in [
        ("", "is empty", "write one"),
        ("object.", "an error at line 1, column", "correct"),
        ("object.spec.replicas +", "an error at line 1, column", "correct"),
        ("'open", "an error at line 1, column", "correct"),
        ("self.spec", "unknown name `self`", "the object is called `object`"),
        ("spec.replicas", "unknown name `spec`", "the object is called `object`"),
        ("object.items.map(x, y)", "unknown name `y`", "the object is called `object`"),
        ("object.items.map(x, x) == x", "unknown name `x`", "the object is called `object`"),
        ("object.a == Ready", "unknown name `Ready`", "quote a text"),
        ("object.name.lower()", "unknown function `lower`", "standard functions"),
        ("lower(object.name)", "unknown function `lower`", "standard functions"),
        ("startsWith(object.name, 'a')", "unknown function `startsWith`", "call it as `x.startsWith()`"),
        ("object.a.timestamp()", "unknown function `timestamp`", "call it as `timestamp(x)`"),
        ("optional.some(1)", "unknown function `optional.some`", "standard functions"),
        ("Pod{name: 'x'}", "message of type `Pod`", "make a map"),
        ("object.a.matches('[')", "invalid or too large regular expression `[`", "RE2"),
        ("object.a.matches('(\\\\w{1000}){1000}')", "invalid or too large regular expression", "RE2"),
    ] {
        let refusal = Expression::compile(expression).map(|_| expression).expect_err("refused");
        assert!(refusal.message.contains(message), "{expression}: {refusal:?}");
        assert!(refusal.remedy.contains(remedy), "{expression}: {refusal:?}");
    }
}

#[test]
fn names_of_types_and_functions_with_a_dot_are_known() {
    for expression in [
        "type(1) == int",
        "type(timestamp('2026-01-01T00:00:00Z')) == google.protobuf.Timestamp",
        "optional.of(1)",
        "optional.none()",
        "[1].map(optional, optional + 1)",
        "dyn(object.a)",
    ] {
        assert!(
            Expression::compile(expression).is_ok(),
            "{expression}: {:?}",
            Expression::compile(expression)
        );
    }
}

#[test]
fn expressions_beyond_the_bounds_are_refused() {
    let nested_macros = |depth: usize| {
        let mut text = String::from("1");
        for level in 0..depth {
            text = format!("[1].map(v{level}, {text})");
        }
        text
    };
    let deep = check::MAX_DEPTH;
    for (expression, message) in [
        (format!("'{}'", "a".repeat(check::MAX_LENGTH)), "bytes, more than 16384"),
        (format!("{}1{}", "(".repeat(33), ")".repeat(33)), "brackets deeper than 32"),
        (format!("{}1{}", "[".repeat(8000), "]".repeat(8000)), "brackets deeper than 32"),
        (format!("object{}", ".a".repeat(8000)), "deeper than 64"),
        (format!("object{}", ".a()".repeat(4000)), "deeper than 64"),
        (format!("1{}", "+1".repeat(8000)), "deeper than 64"),
        (format!("{}1", "-".repeat(8000)), ""),
        (format!("{}true", "!".repeat(8001)), ""),
        (format!("{}1", "true?1:".repeat(2000)), ""),
        (format!("object{}", "[0]".repeat(5000)), "deeper than 64"),
        (format!("object{}", ".a".repeat(deep + 1)), "deeper than 64"),
        (nested_macros(5), "macros deeper than 4"),
    ] {
        // The parser itself may refuse some of them first; what matters is that nothing overflows and the reason is told.
        match Expression::compile(&expression) {
            Err(refusal) => assert!(refusal.message.contains(message), "{}: {refusal:?}", &expression[..20]),
            Ok(_) => assert!(message.is_empty(), "{} is accepted", &expression[..20]),
        }
    }
    assert!(Expression::compile(&nested_macros(4)).is_ok());
    assert!(Expression::compile(&format!("object{}", ".a".repeat(deep - 1))).is_ok());
}

#[test]
fn the_deepest_expressions_that_are_accepted_run_on_a_small_stack() {
    let deep = check::MAX_DEPTH;
    let expressions = [
        format!("0{}", "+1".repeat(deep / 2 - 1)),
        format!("object{}", ".?a".repeat(deep - 1)),
        format!("{}1{}", "[".repeat(30), "]".repeat(30)),
        format!("{}object{}", "dyn(".repeat(30), ")".repeat(30)),
        "[1].map(a, [1].map(b, [1].map(c, [1].map(d, [[[[[[a + b + c + d]]]]]]))))".to_owned(),
        format!("{}1", "true?1:".repeat(20)),
    ]
    .map(|text| (Expression::compile(&text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}")), text));
    let mut deepest = json!(1);
    for _ in 0..120 {
        deepest = json!({"a": deepest});
    }
    let equal = Expression::compile("object == object && [object] == [object]").unwrap();
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || {
            let node = Node::from(&deepest);
            let scope = Scope::new(&node);
            for (expression, text) in &expressions {
                assert_ne!(expression.evaluate(&scope, &mut Vec::new()), Outcome::Nothing, "{text}");
            }
            assert_eq!(equal.evaluate(&scope, &mut Vec::new()), Outcome::Value);
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn expressions_that_ask_for_too_much_work_end_without_a_result() {
    let object = json!({"l": (0..300).collect::<Vec<_>>(), "text": "x".repeat(100_000)});
    let doubled = |start: &str, step: &str| format!("{start}{}", step.repeat(40));
    for expression in [
        "object.l.all(a, object.l.all(b, object.l.all(c, object.l.all(d, true))))".to_owned(),
        "[object.l.map(x, x)].all(v, v.all(a, v.all(b, v.all(c, true))))".to_owned(),
        "object.l.map(a, object.l.map(b, object.l))".to_owned(),
        "object.l.all(a, object.l.all(b, object.l == object.l.map(x, x)))".to_owned(),
        "object.l.all(a, object.l.all(b, !(-1 in object.l)))".to_owned(),
        "object.l.all(a, !object.text.contains('x' + object.text))".to_owned(),
        "object.l.all(a, ('x' + object.text).matches('y$') == false)".to_owned(),
        "object.l.all(a, 'x'.matches(string(a)) || true)".to_owned(),
        doubled("['x']", ".map(a, a + a)"),
        doubled("[[1]]", ".map(a, [a, a])"),
        doubled("[[1]]", ".map(a, {'a': a, 'b': a})"),
        format!("object.text{}", " + object.text".repeat(20))
            + " == 'x' || object.l.map(a, object.text + object.text) == []",
    ] {
        match run(&expression, &object) {
            Err(Outcome::Failure(failure)) => {
                assert!(
                    failure.contains("visits or copies more than 1000000 values"),
                    "{expression}: {failure}"
                );
            }
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (nanoseconds, expected) in [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (5_400_000_000_000, "1h30m0s"),
        (-90_000_000_000, "-1m30s"),
        (299_000_000_001, "4m59.000000001s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(write::go_duration(nanoseconds), expected);
    }
}

const FUNCTIONS_OF_ONE: &str = "quantity isQuantity sign semver isSemver url isURL ip isIP ip.isCanonical cidr isCIDR strings.quote lists.range \
     math.greatest math.least math.abs math.sqrt math.ceil math.bitNot format.named";
const FUNCTIONS_OF_TWO: &str = "semver isSemver sets.contains sets.equivalent sets.intersects math.greatest math.bitShiftLeft math.bitShiftRight math.bitXor";
const MEMBERS_OF_NONE: &str = "join lowerAscii upperAscii trim reverse isSorted sum min max flatten distinct sort isInteger asInteger \
     asApproximateFloat sign major minor patch getScheme getHost getHostname getPort getEscapedPath getQuery family isUnspecified isLoopback \
     isLinkLocalMulticast isLinkLocalUnicast isGlobalUnicast ip masked prefixLength";
const MEMBERS_OF_ONE: &str = "charAt indexOf lastIndexOf join split substring format flatten includes find findAll add sub compareTo isLessThan \
     isGreaterThan containsIP containsCIDR validate";
const MEMBERS_OF_TWO: &str = "indexOf lastIndexOf replace split substring slice findAll";

fn any_of(names: &'static str) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names.split_whitespace().collect::<Vec<_>>())
}

/// Expressions over names that random JSON has.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "object",
        "object.a",
        "object.b",
        "object.spec",
        "object['name']",
        "object.?a",
        "object.?a.?b",
        "1",
        "-1",
        "0",
        "2.5",
        "7u",
        "'a'",
        "b'x'",
        "null",
        "true",
        "[]",
        "{}",
        "[1, 'a']",
        "{'a': 1}",
        "9223372036854775807",
        "duration('1h')",
        "duration('2562047h')",
        "timestamp('2026-01-01T00:00:00Z')",
        "timestamp('0001-01-01T00:00:00Z')",
        "timestamp('9999-12-31T23:59:59.999Z')",
        "int",
        "optional.none()",
        "quantity('1.5Gi')",
        "semver('1.2.3')",
        "url('http://a:1/b?c=d')",
        "ip('::1')",
        "cidr('10.0.0.0/8')",
        "format.date()",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec![
                    "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"
                ])
            )
                .prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (pair.clone(), prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]))
                .prop_map(|((a, b), name)| format!("{a}.{name}(x, {b})")),
            pair.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
            pair.clone().prop_map(|(a, b)| format!("{a}[?{b}]")),
            pair.clone().prop_map(|(a, b)| format!("{a}.matches({b})")),
            pair.clone().prop_map(|(a, b)| format!("{a}.contains({b})")),
            pair.clone().prop_map(|(a, b)| format!("{a}.orValue({b})")),
            pair.clone().prop_map(|(a, b)| format!("{a}.optMap(x, {b})")),
            pair.clone().prop_map(|(a, b)| format!("{a}.sortBy(x, {b})")),
            (pair.clone(), any_of(MEMBERS_OF_ONE)).prop_map(|((a, b), name)| format!("{a}.{name}({b})")),
            (pair.clone(), any_of(FUNCTIONS_OF_TWO)).prop_map(|((a, b), name)| format!("{name}({a}, {b})")),
            (inner.clone(), inner.clone(), inner.clone(), any_of(MEMBERS_OF_TWO))
                .prop_map(|(a, b, c, name)| format!("{a}.{name}({b}, {c})")),
            (inner.clone(), any_of(FUNCTIONS_OF_ONE)).prop_map(|(a, name)| format!("{name}({a})")),
            (inner.clone(), any_of(MEMBERS_OF_NONE)).prop_map(|(a, name)| format!("{a}.{name}()")),
            pair.prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("[{a}, {a}]")),
            inner.clone().prop_map(|a| format!("has({a}.b)")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.clone().prop_map(|a| format!("-{a}")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "size",
                    "int",
                    "uint",
                    "double",
                    "string",
                    "bytes",
                    "bool",
                    "type",
                    "dyn",
                    "duration",
                    "timestamp",
                    "optional.of",
                    "optional.ofNonZeroValue",
                ])
            )
                .prop_map(|(a, name)| format!("{name}({a})")),
            (
                inner,
                prop::sample::select(vec![
                    "getFullYear",
                    "getDayOfYear",
                    "getHours",
                    "getMilliseconds",
                    "getDayOfWeek",
                    "value",
                    "hasValue",
                    "size",
                ])
            )
                .prop_map(|(a, name)| format!("{a}.{name}()")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn evaluating_never_panics_and_gives_json_or_a_reason(expression in any_expression(), object in any_json()) {
        let Ok(expression) = Expression::compile(&expression) else { return Ok(()) };
        let node = Node::from(&object);
        let (mut out, mut again) = (Vec::new(), Vec::new());
        let outcome = expression.evaluate(&Scope::new(&node), &mut out);
        prop_assert_eq!(&outcome, &expression.evaluate(&Scope::new(&node), &mut again));
        prop_assert_eq!(&out, &again);
        if outcome == Outcome::Value {
            let node: Node<'_> = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&serde_json::to_vec(&node).unwrap(), &out, "canonical");
        } else {
            prop_assert!(out.is_empty());
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused_by_the_parser_not_by_its_panic(
        text in ".{0,60}",
        tokens in prop::collection::vec(prop::sample::select(vec![
            "object", ".", ".?", "[", "[?", "]", "(", ")", "{", "{?", "}", "?", ":", ",", "+", "-", "!", "*", "/", "%", "==", "<", "&&", "||",
            "in", "has", "has(", ".map(", ".all(x,", ".filter(", ".exists_one(", ".optMap(", ".optFlatMap(", "a", "x", "`a-b`", "1",
            "0x", "0xFF", "1e999", "9223372036854775808", "-9223372036854775808", "18446744073709551616u", "1.", ".5", "'a'", "'", "\"",
            "\"\"\"", "'\\u'", "'\\ud800'", "'\\x4'", "'\\777'", "b'\\xff'", "b'ü'", "r'\\'", "null", "true", "//", "\n", " ", "@", "#", "$", "ü",
            "package", "for", "int", "optional.of", "@result", "__result__",
        ]), 0..12),
    ) {
        for text in [text, tokens.concat(), tokens.join(" ")] {
            if let Err(refusal) = Expression::compile(&text) {
                prop_assert!(!refusal.message.contains("could not be parsed"), "{}", text);
            }
        }
    }

    #[test]
    fn the_lazy_object_behaves_as_an_equal_literal_does(object in any_json(), member in any_json()) {
        let object = json!({"v": object, "w": member});
        let literal = literal(&object["v"]);
        prop_assume!(literal.len() < check::MAX_LENGTH / 4);
        for (lazy, owned) in [
            ("object.v", "LITERAL"),
            ("object.v == LITERAL", "true"),
            ("LITERAL == object.v", "true"),
            ("object.w == object.v", "object.w == LITERAL"),
            ("object.v == object.w", "LITERAL == object.w"),
            ("object.w in object.v", "object.w in LITERAL"),
            ("object.v in [object.w, LITERAL]", "true"),
            ("size(object.v)", "size(LITERAL)"),
            ("object.v.map(x, x)", "LITERAL.map(x, x)"),
            ("object.v.filter(x, x != object.w)", "LITERAL.filter(x, x != object.w)"),
            ("object.v.exists(x, x == 'a')", "LITERAL.exists(x, x == 'a')"),
            ("object.v + object.v", "LITERAL + LITERAL"),
            ("object.v[0]", "LITERAL[0]"),
            ("object.v.a", "LITERAL.a"),
            ("has(object.v.a)", "has(LITERAL.a)"),
            ("object.v[?'a']", "LITERAL[?'a']"),
            ("type(object.v)", "type(LITERAL)"),
            ("optional.ofNonZeroValue(object.v)", "optional.ofNonZeroValue(LITERAL)"),
            ("object.v < object.w", "LITERAL < object.w"),
        ] {
            let Ok(owned_expression) = Expression::compile(&owned.replace("LITERAL", &literal)) else { continue };
            let lazy_expression = Expression::compile(&lazy.replace("LITERAL", &literal)).unwrap();
            let node = Node::from(&object);
            let (mut lazy_out, mut owned_out) = (Vec::new(), Vec::new());
            let lazy_outcome = lazy_expression.evaluate(&Scope::new(&node), &mut lazy_out);
            let owned_outcome = owned_expression.evaluate(&Scope::new(&node), &mut owned_out);
            prop_assert_eq!(String::from_utf8(lazy_out).unwrap(), String::from_utf8(owned_out).unwrap(), "{} of {}", lazy, literal);
            prop_assert_eq!(std::mem::discriminant(&lazy_outcome), std::mem::discriminant(&owned_outcome), "{}", lazy);
        }
    }
}

/// JSON as a CEL literal.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Number(number) if number.as_i64() == Some(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => format!("{number}u"),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let escaped: String = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
            format!("'{escaped}'")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(k, v)| format!("{}: {}", literal(&Value::from(k.as_str())), literal(v)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
