#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::super::node::Node;
use super::super::super::node::tests::any_json;
use super::super::tests::{literal, run};
use super::super::{Expression, Outcome, Scope};

fn object() -> Value {
    json!({
        "name": "web-7f9c", "text": "ta©o©αT", "empty": "", "image": "registry.example:5000/team/shop:v1.27.3-rc.1",
        "ints": [3, 1, 2], "mixed": [1, 2.5], "texts": ["b", "a", "b"], "nested": [[1, [2]], 3, []], "none": [],
        "maps": [{"n": "b", "v": 2}, {"n": "a", "v": 10}], "map": {"z": 1, "a": [true, null]}, "big": [u64::MAX, -1],
        "cpus": ["100m", "1.5", "2"],
    })
}

/// What an expression gives, or a part of the failure.
type Row = (&'static str, Result<Value, &'static str>);

#[track_caller]
fn check(rows: &[Row]) {
    let object = object();
    for (expression, expected) in rows {
        match (run(expression, &object), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, *expected, "{expression}"),
            (Err(Outcome::Failure(failure)), Err(expected)) => {
                assert!(failure.contains(expected), "{expression}: {failure}");
            }
            (actual, expected) => panic!("{expression}: {actual:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn the_libraries_take_no_name_twice() {
    let mut env = cel::Env::stdlib();
    super::super::functions::declare(&mut env);
    assert_eq!(super::declare(&mut env), Ok(()));
}

#[test]
fn strings() {
    check(&[
        ("object.name.charAt(0)", Ok(json!("w"))),
        ("object.text.charAt(2)", Ok(json!("©"))),
        ("object.text.charAt(7)", Ok(json!(""))),
        ("''.charAt(0)", Ok(json!(""))),
        ("object.text.charAt(8)", Err("`charAt` is given a position outside of the text")),
        ("object.text.charAt(-1)", Err("`charAt` is given a position outside of the text")),
        ("object.ints.charAt(0)", Err("`charAt` can't be applied to (list, int)")),
        ("object.text.indexOf('©')", Ok(json!(2))),
        ("object.text.indexOf('©', 3)", Ok(json!(4))),
        ("object.text.indexOf('©α', 5)", Ok(json!(-1))),
        ("object.text.indexOf('')", Ok(json!(0))),
        ("object.text.indexOf('', 3)", Ok(json!(3))),
        ("object.text.indexOf('', 99)", Ok(json!(7))),
        ("object.text.indexOf('a', 99)", Ok(json!(-1))),
        ("object.text.indexOf('a', -1)", Err("`indexOf` is given a position outside of the text")),
        ("object.text.lastIndexOf('©')", Ok(json!(4))),
        ("object.text.lastIndexOf('©', 3)", Ok(json!(2))),
        ("object.text.lastIndexOf('©', 4)", Ok(json!(4))),
        ("object.text.lastIndexOf('')", Ok(json!(7))),
        ("object.text.lastIndexOf('', 3)", Ok(json!(3))),
        ("object.text.lastIndexOf('', 99)", Ok(json!(7))),
        ("object.text.lastIndexOf('T', 99)", Ok(json!(-1))),
        ("object.text.lastIndexOf('T', -1)", Err("`lastIndexOf` is given a position outside of the text")),
        ("'bananananana'.lastIndexOf('nana', 7)", Ok(json!(6))),
        ("''.lastIndexOf('@@')", Ok(json!(-1))),
        ("object.texts.join()", Ok(json!("bab"))),
        ("object.texts.join(', ')", Ok(json!("b, a, b"))),
        ("['a'].join('-')", Ok(json!("a"))),
        ("object.none.join('-')", Ok(json!(""))),
        ("object.ints.join('-')", Err("a value is of type int, not string")),
        ("object.map.map(k, k).join('+')", Ok(json!("a+z"))),
        ("'TacoCÀT'.lowerAscii()", Ok(json!("tacocÀt"))),
        ("'tacocàt'.upperAscii()", Ok(json!("TACOCàT"))),
        ("object.image.replace('/', '|')", Ok(json!("registry.example:5000|team|shop:v1.27.3-rc.1"))),
        ("object.image.replace('/', '', 1)", Ok(json!("registry.example:5000team/shop:v1.27.3-rc.1"))),
        ("'aaa'.replace('a', 'b', 0)", Ok(json!("aaa"))),
        ("'aaa'.replace('a', 'bb', -1)", Ok(json!("bbbbbb"))),
        ("'aé'.replace('', '-')", Ok(json!("-a-é-"))),
        ("'aé'.replace('', '-', 2)", Ok(json!("-a-é"))),
        ("'a'.replace(1, 'b')", Err("`replace` can't be applied to (string, int, string)")),
        ("'a,b,c'.split(',')", Ok(json!(["a", "b", "c"]))),
        ("'a,b,c'.split(',', 2)", Ok(json!(["a", "b,c"]))),
        ("'a,b,c'.split(',', 0)", Ok(json!([]))),
        ("'a,b,c'.split(',', 1)", Ok(json!(["a,b,c"]))),
        ("'a,b,c'.split(',', -1)", Ok(json!(["a", "b", "c"]))),
        ("'aéb'.split('')", Ok(json!(["a", "é", "b"]))),
        ("'aéb'.split('', 2)", Ok(json!(["a", "éb"]))),
        ("'aéb'.split('', 0)", Ok(json!([]))),
        ("'aéb'.split('', 9)", Ok(json!(["a", "é", "b"]))),
        ("object.empty.split(',')", Ok(json!([""]))),
        ("object.empty.split('')", Ok(json!([]))),
        ("object.image.split('/')[2].split(':')[1]", Ok(json!("v1.27.3-rc.1"))),
        ("object.text.substring(4)", Ok(json!("©αT"))),
        ("object.text.substring(2, 5)", Ok(json!("©o©"))),
        ("object.text.substring(7)", Ok(json!(""))),
        ("object.text.substring(3, 3)", Ok(json!(""))),
        ("object.text.substring(8)", Err("`substring` is given positions outside of the text")),
        ("object.text.substring(-1)", Err("`substring` is given positions outside of the text")),
        ("object.text.substring(3, 2)", Err("`substring` is given positions outside of the text")),
        ("object.text.substring(0, 8)", Err("`substring` is given positions outside of the text")),
        ("' \\t\\u00a0a b\\n'.trim()", Ok(json!("a b"))),
        ("object.text.reverse()", Ok(json!("Tα©o©at"))),
        ("''.reverse()", Ok(json!(""))),
        ("strings.quote('a\\n\"b\"\\\\é')", Ok(json!("\"a\\n\\\"b\\\"\\\\é\""))),
        ("strings.quote(1)", Err("`strings.quote` can't be applied to (int)")),
        ("'%s has %d'.format([object.name, size(object.ints)])", Ok(json!("web-7f9c has 3"))),
        ("'%s'.format([object.map])", Ok(json!("{a: [true, null], z: 1}"))),
        (
            "'%.2f %x %o %b %e %%'.format([1.5, 255, 8, 5, 1200.0])",
            Ok(json!("1.50 ff 10 101 1.200000e+03 %")),
        ),
        ("'%s'.format([])", Err("`format` can't be applied to its argument's value")),
        ("'%d'.format([object.name])", Err("`format` can't be applied to its argument's value")),
        ("'%z'.format([1])", Err("`format` can't be applied to its argument's value")),
        ("'a'.format(1)", Err("`format` can't be applied to (string, int)")),
    ]);
}

#[test]
fn lists() {
    check(&[
        ("object.ints.isSorted()", Ok(json!(false))),
        ("[1, 2, 2, 2.5].isSorted()", Ok(json!(true))),
        ("object.none.isSorted()", Ok(json!(true))),
        ("['a', 'b', 'b'].isSorted()", Ok(json!(true))),
        ("object.maps.isSorted()", Err("`isSorted` takes values that have an order, of one type")),
        ("[1, 'a'].isSorted()", Err("`isSorted` takes values that have an order, of one type")),
        ("object.name.isSorted()", Err("`isSorted` can't be applied to (string)")),
        ("object.ints.sum()", Ok(json!(6))),
        ("object.mixed.sum()", Ok(json!(3.5))),
        ("object.none.sum()", Ok(json!(0))),
        ("[1u, 2u].sum()", Ok(json!(3))),
        ("object.big.sum()", Ok(json!(u64::MAX - 1))),
        ("[duration('1m'), duration('1s')].sum()", Ok(json!("1m1s"))),
        ("object.cpus.map(c, quantity(c)).sum()", Ok(json!("3600m"))),
        ("object.texts.sum()", Err("`sum` takes numbers, or durations, or quantities")),
        ("[1, 'a'].sum()", Err("`sum` takes numbers, or durations, or quantities")),
        ("[duration('1s'), 1].sum()", Err("`sum` takes numbers, or durations, or quantities")),
        ("[9223372036854775807, 1].sum()", Err("`sum` is out of range")),
        ("object.ints.min()", Ok(json!(1))),
        ("object.ints.max()", Ok(json!(3))),
        ("object.mixed.max()", Ok(json!(2.5))),
        ("object.texts.min()", Ok(json!("a"))),
        ("object.cpus.map(c, quantity(c)).max()", Ok(json!("2"))),
        ("[true, false].min()", Ok(json!(false))),
        ("object.none.min()", Err("`min` is applied to an empty list")),
        ("object.none.max()", Err("`max` is applied to an empty list")),
        ("object.maps.max()", Err("`max` takes values that have an order, of one type")),
        ("[null].min()", Err("`min` takes values that have an order, of one type")),
        ("object.ints.indexOf(2)", Ok(json!(2))),
        ("object.ints.indexOf(2.0)", Ok(json!(2))),
        ("object.texts.indexOf('b')", Ok(json!(0))),
        ("object.texts.lastIndexOf('b')", Ok(json!(2))),
        ("object.maps.indexOf({'v': 10, 'n': 'a'})", Ok(json!(1))),
        ("object.none.indexOf('a')", Ok(json!(-1))),
        ("object.ints.lastIndexOf('3')", Ok(json!(-1))),
        ("object.ints.includes(3)", Ok(json!(true))),
        ("object.ints.includes('3')", Ok(json!(false))),
        ("object.name.includes('web-7f9c')", Ok(json!(true))),
        ("object.nested.includes([])", Ok(json!(true))),
        ("object.ints.slice(0, 2)", Ok(json!([3, 1]))),
        ("object.ints.slice(3, 3)", Ok(json!([]))),
        (
            "object.ints.slice(0, 4)",
            Err("`slice` is given positions outside of the list or in the wrong order"),
        ),
        (
            "object.ints.slice(2, 1)",
            Err("`slice` is given positions outside of the list or in the wrong order"),
        ),
        (
            "object.ints.slice(-1, 1)",
            Err("`slice` is given positions outside of the list or in the wrong order"),
        ),
        ("object.ints.slice(0, 'a')", Err("`slice` can't be applied to (list, int, string)")),
        ("object.nested.flatten()", Ok(json!([1, [2], 3]))),
        ("object.nested.flatten(0)", Ok(json!([[1, [2]], 3, []]))),
        ("object.nested.flatten(9)", Ok(json!([1, 2, 3]))),
        ("object.maps.flatten() == object.maps", Ok(json!(true))),
        ("object.nested.flatten(-1)", Err("`flatten` is given a negative depth")),
        ("object.texts.distinct()", Ok(json!(["b", "a"]))),
        ("[1, 1.0, 1u, '1', [1], [1.0], {'a': 1}, {'a': 1u}].distinct()", Ok(json!([1, "1", [1], {"a": 1}]))),
        ("object.none.distinct()", Ok(json!([]))),
        ("object.ints.reverse()", Ok(json!([2, 1, 3]))),
        ("object.none.reverse()", Ok(json!([]))),
        ("object.ints.sort()", Ok(json!([1, 2, 3]))),
        ("object.texts.sort()", Ok(json!(["a", "b", "b"]))),
        ("['ü', 'z', 'a', ''].sort()", Ok(json!(["", "a", "z", "ü"]))),
        ("object.none.sort()", Ok(json!([]))),
        ("object.mixed.sort()", Err("`sort` takes values that have an order, of one type")),
        ("object.maps.sort()", Err("`sort` takes values that have an order, of one type")),
        ("[0.0 / 0.0, 1.0].sort()", Err("`sort` takes values that have an order, of one type")),
        ("object.maps.sortBy(m, m.n).map(m, m.v)", Ok(json!([10, 2]))),
        ("object.maps.sortBy(m, m.v).map(m, m.n)", Ok(json!(["b", "a"]))),
        ("object.texts.sortBy(t, t == 'a')", Ok(json!(["b", "b", "a"]))),
        ("object.maps.sortBy(m, m.n)[0].n.upperAscii()", Ok(json!("A"))),
        ("[3, 1].sortBy(x, -x).sortBy(x, x)", Ok(json!([1, 3]))),
        ("object.none.sortBy(x, x.nope)", Ok(json!([]))),
        ("object.maps.sortBy(m, m)", Err("`sortBy` takes values that have an order, of one type")),
        ("object.maps.sortBy(m, m.nope)", Err("there is no key `nope`")),
        ("lists.range(4)", Ok(json!([0, 1, 2, 3]))),
        ("lists.range(0)", Ok(json!([]))),
        ("lists.range(-3)", Ok(json!([]))),
        ("lists.range('3')", Err("`lists.range` can't be applied to (string)")),
    ]);
}

#[test]
fn sets() {
    check(&[
        ("sets.contains(object.ints, [1, 3])", Ok(json!(true))),
        ("sets.contains(object.ints, [1.0, 1u, 3])", Ok(json!(true))),
        ("sets.contains(object.ints, [])", Ok(json!(true))),
        ("sets.contains([], object.ints)", Ok(json!(false))),
        ("sets.contains([], object.none)", Ok(json!(true))),
        ("sets.contains(object.ints, [4])", Ok(json!(false))),
        ("sets.contains(object.maps, [{'n': 'a', 'v': 10}])", Ok(json!(true))),
        ("sets.equivalent(object.texts, ['a', 'b'])", Ok(json!(true))),
        ("sets.equivalent(['a', 'b'], object.texts)", Ok(json!(true))),
        ("sets.equivalent(object.texts, ['a'])", Ok(json!(false))),
        ("sets.equivalent(object.none, [])", Ok(json!(true))),
        ("sets.equivalent([[1]], [[1.0]])", Ok(json!(true))),
        ("sets.intersects(object.ints, [9, 2])", Ok(json!(true))),
        ("sets.intersects(object.ints, ['2'])", Ok(json!(false))),
        ("sets.intersects(object.none, object.ints)", Ok(json!(false))),
        ("sets.intersects(object.ints, 2)", Err("`sets.intersects` can't be applied to (list, int)")),
        ("sets.contains(object.map, ['a'])", Err("`sets.contains` can't be applied to (map, list)")),
    ]);
}

#[test]
fn math() {
    check(&[
        ("math.greatest(1, 3, 2)", Ok(json!(3))),
        ("math.greatest(object.ints)", Ok(json!(3))),
        ("math.greatest(object.ints.map(i, i * 2))", Ok(json!(6))),
        ("math.greatest(object.mixed)", Ok(json!(2.5))),
        ("math.least(object.ints)", Ok(json!(1))),
        ("math.least(2, 1.5)", Ok(json!(1.5))),
        ("math.least(-1)", Ok(json!(-1))),
        ("math.least(object.ints[0], object.ints[1], 2u)", Ok(json!(1))),
        ("math.greatest(object.none)", Err("`math.greatest` can't be applied to its argument's value")),
        ("math.greatest(object.texts)", Err("`math.greatest` can't be applied to (string)")),
        ("math.least(object.name)", Err("`math.least` can't be applied to (string)")),
        ("math.ceil(1.2)", Ok(json!(2.0))),
        ("math.floor(-1.2)", Ok(json!(-2.0))),
        ("math.round(-1.5)", Ok(json!(-2.0))),
        ("math.trunc(-1.9)", Ok(json!(-1.0))),
        ("math.ceil(1)", Err("`math.ceil` can't be applied to (int)")),
        ("math.abs(-3)", Ok(json!(3))),
        ("math.abs(-9223372036854775807 - 1)", Err("`math.abs` can't be applied to its argument's value")),
        ("math.sign(-2.5)", Ok(json!(-1.0))),
        ("math.sign(0)", Ok(json!(0))),
        ("math.isNaN(0.0 / 0.0) && math.isInf(1.0 / 0.0) && math.isFinite(1.0)", Ok(json!(true))),
        ("math.sqrt(81)", Ok(json!(9.0))),
        ("math.bitAnd(6, 3) + math.bitOr(6, 3) + math.bitXor(6, 3)", Ok(json!(14))),
        ("math.bitNot(1)", Ok(json!(-2))),
        ("math.bitShiftLeft(1, 4)", Ok(json!(16))),
        ("math.bitShiftLeft(1, 64)", Ok(json!(0))),
        ("math.bitShiftRight(-1, 60)", Ok(json!(15))),
        ("math.bitShiftRight(1, -1)", Err("`math.bitShiftRight` can't be applied to its argument's value")),
        ("math.bitAnd(1, 1u)", Err("`math.bitAnd` can't be applied to (int, uint)")),
    ]);
}

#[test]
fn regex() {
    check(&[
        ("object.image.find('v[0-9.]+')", Ok(json!("v1.27.3"))),
        ("object.image.find('nope')", Ok(json!(""))),
        ("object.empty.find('.*')", Ok(json!(""))),
        ("object.text.find('©.')", Ok(json!("©o"))),
        ("object.image.find(object.name.substring(0, 0) + '[a-z]+$')", Ok(json!(""))),
        ("object.image.find(object.texts[0])", Ok(json!(""))),
        ("object.image.findAll('[0-9]+')", Ok(json!(["5000", "1", "27", "3", "1"]))),
        ("object.image.findAll('[0-9]+', 2)", Ok(json!(["5000", "1"]))),
        ("object.image.findAll('[0-9]+', 0)", Ok(json!([]))),
        ("object.image.findAll('[0-9]+', -1)[2]", Ok(json!("27"))),
        ("object.image.findAll('nope')", Ok(json!([]))),
        ("'baaac'.findAll('a*')", Ok(json!(["", "aaa", ""]))),
        ("object.image.findAll(object.texts[1])", Ok(json!(["a", "a"]))),
        ("object.image.findAll(object.texts[1], 1)", Ok(json!(["a"]))),
        (
            "object.image.find(object.name + '[')",
            Err("`find` is given an invalid or too large regular expression"),
        ),
        (
            "object.image.findAll(object.name + '(')",
            Err("`findAll` is given an invalid or too large regular expression"),
        ),
        ("object.ints.find('a')", Err("`find` can't be applied to (list, string)")),
        ("object.image.findAll('a', 'b')", Err("`findAll` can't be applied to (string, string, string)")),
    ]);
}

#[test]
fn quantity() {
    check(&[
        ("quantity('1.5Gi')", Ok(json!("1536Mi"))),
        ("[quantity('1000m')]", Ok(json!(["1"]))),
        ("{'cpu': quantity(object.cpus[0])}", Ok(json!({"cpu": "100m"}))),
        ("object.cpus.map(c, quantity(c))", Ok(json!(["100m", "1500m", "2"]))),
        ("quantity('1K')", Err("`quantity` is given a text that is no quantity")),
        ("quantity('')", Err("`quantity` is given a text that is no quantity")),
        ("quantity(1)", Err("`quantity` can't be applied to (int)")),
        ("isQuantity('1.3Gi')", Ok(json!(true))),
        ("isQuantity('1,3G')", Ok(json!(false))),
        ("isQuantity(object.name)", Ok(json!(false))),
        ("quantity('1.3G').isInteger()", Ok(json!(true))),
        ("quantity('1m').isInteger()", Ok(json!(false))),
        ("quantity('50k').asInteger()", Ok(json!(50000))),
        ("quantity('1m').asInteger()", Err("`asInteger` is applied to a quantity that is no integer")),
        ("quantity('100E').asInteger()", Err("`asInteger` is applied to a quantity that is no integer")),
        ("quantity('50.703k').asApproximateFloat()", Ok(json!(50703.0))),
        ("quantity('-1n').sign()", Ok(json!(-1))),
        ("sign(quantity('1'))", Ok(json!(1))),
        ("quantity('200M').compareTo(quantity('0.2G'))", Ok(json!(0))),
        ("quantity('50M').compareTo(quantity('50Mi'))", Ok(json!(-1))),
        ("quantity('50M').isLessThan(quantity('100M'))", Ok(json!(true))),
        ("quantity('50Mi').isGreaterThan(quantity('100Mi'))", Ok(json!(false))),
        ("quantity('50k').isLessThan(1)", Err("`isLessThan` can't be applied to (kubernetes.Quantity, int)")),
        ("quantity('50k').add(quantity('20k'))", Ok(json!("70k"))),
        ("quantity('50k').add(20)", Ok(json!("50020"))),
        ("quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')", Ok(json!(true))),
        ("quantity('0.1').add(quantity('0.2')) == quantity('300m')", Ok(json!(true))),
        ("quantity('170e27').add(quantity('170e27'))", Err("`add` is out of range")),
        ("quantity('1') == quantity('1000m')", Ok(json!(true))),
        ("quantity('1') == '1'", Ok(json!(false))),
        ("quantity('1Ki') != quantity('1k')", Ok(json!(true))),
        ("quantity('2') in object.cpus.map(c, quantity(c))", Ok(json!(true))),
        ("quantity('1') < quantity('1001m') && quantity('1Gi') >= quantity('1G')", Ok(json!(true))),
        ("quantity('1') < 2", Err("`<` can't be applied to (kubernetes.Quantity, int)")),
        ("quantity('1Gi') + quantity('1Mi')", Ok(json!("1025Mi"))),
        ("quantity('1Gi') + 1", Err("`+` can't be applied to (kubernetes.Quantity, int)")),
        ("string(quantity('1024Ki')) + '!'", Ok(json!("1Mi!"))),
        ("type(quantity('1')) == kubernetes.Quantity", Ok(json!(true))),
        ("optional.of(quantity('1e3'))", Ok(json!("1e3"))),
    ]);
}

#[test]
fn semver() {
    check(&[
        ("semver('1.2.3')", Ok(json!("1.2.3"))),
        ("semver(object.image.find('[0-9]+[.][0-9]+[.][0-9]+.*$'))", Ok(json!("1.27.3-rc.1"))),
        ("semver('1.2')", Err("`semver` is given a text that is no semantic version")),
        ("semver('v1.2.3')", Err("`semver` is given a text that is no semantic version")),
        ("semver('v1.2', true)", Ok(json!("1.2.0"))),
        ("semver('01.02.03-rc.1+b', true)", Ok(json!("1.2.3-rc.1+b"))),
        ("semver('v00', true)", Ok(json!("0.0.0"))),
        ("semver('1.2-rc', true)", Err("`semver` is given a text that is no semantic version")),
        ("semver('v1.2.3', false)", Err("`semver` is given a text that is no semantic version")),
        ("semver(1)", Err("`semver` can't be applied to (int)")),
        ("isSemver('1.0.0-alpha.1')", Ok(json!(true))),
        ("isSemver('1.0.0-01')", Ok(json!(false))),
        ("isSemver('')", Ok(json!(false))),
        ("isSemver('', true)", Ok(json!(false))),
        ("isSemver('v1.0', true)", Ok(json!(true))),
        ("semver('1.2.3').major() + semver('1.2.3').minor() + semver('1.2.3').patch()", Ok(json!(6))),
        ("semver('18446744073709551615.0.0').major()", Ok(json!(u64::MAX))),
        ("isSemver('18446744073709551616.0.0')", Ok(json!(false))),
        ("semver('1.2.3').compareTo(semver('2.0.0'))", Ok(json!(-1))),
        ("semver('1.2.3').compareTo(semver('1.2.3+build'))", Ok(json!(0))),
        ("semver('1.2.3') == semver('1.2.3+build')", Ok(json!(true))),
        ("semver('1.0.0-rc.2').isLessThan(semver('1.0.0-rc.10'))", Ok(json!(true))),
        ("semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))", Ok(json!(true))),
        (
            "semver('1.0.0').isGreaterThan('1.0.0')",
            Err("`isGreaterThan` can't be applied to (kubernetes.Semver, string)"),
        ),
        ("['1.10.0', '1.9.0'].map(v, semver(v)).sort()", Ok(json!(["1.9.0", "1.10.0"]))),
        (
            "semver('1.0.0') + semver('1.0.0')",
            Err("`+` can't be applied to (kubernetes.Semver, kubernetes.Semver)"),
        ),
    ]);
}

#[test]
fn url() {
    check(&[
        (
            "url('HTTPS://user:pass@example.com:80/path?query=val#fragment')",
            Ok(json!("https://user:pass@example.com:80/path?query=val#fragment")),
        ),
        ("url('HTTPS://example.com/').getScheme()", Ok(json!("https"))),
        ("url('/path').getScheme()", Ok(json!(""))),
        ("url('https://example.com:80/').getHost()", Ok(json!("example.com:80"))),
        ("url('https://user:p%40ss@[::1]:80/').getHost()", Ok(json!("[::1]:80"))),
        ("url('/path').getHost()", Ok(json!(""))),
        ("url('https://example.com:80/').getHostname()", Ok(json!("example.com"))),
        ("url('https://[::1]:80/').getHostname()", Ok(json!("::1"))),
        ("url('https://[fe80::1%25eth0]/').getHostname()", Ok(json!("fe80::1%eth0"))),
        ("url('https://b%C3%BCcher.example/').getHost()", Ok(json!("bücher.example"))),
        ("url('https://example.com:80/').getPort()", Ok(json!("80"))),
        ("url('https://[::1]/').getPort()", Ok(json!(""))),
        ("url('https://example.com:/').getPort()", Ok(json!(""))),
        (
            "url('https://example.com/path with spaces/').getEscapedPath()",
            Ok(json!("/path%20with%20spaces/")),
        ),
        ("url('https://example.com/a%2fb(c)').getEscapedPath()", Ok(json!("/a%2fb(c)"))),
        ("url('https://example.com/ü').getEscapedPath()", Ok(json!("/%C3%BC"))),
        ("url('https://example.com').getEscapedPath()", Ok(json!(""))),
        ("url('https://example.com#top').getHost()", Err("`url` is given a text that is no URL")),
        ("url('https://example.com/#top').getEscapedPath()", Ok(json!("/"))),
        (
            "url('https://e.com/p?k1=a&k2=b&k2=c%20d+e').getQuery()",
            Ok(json!({"k1": ["a"], "k2": ["b", "c d e"]})),
        ),
        ("url('https://e.com/p?a;b=1&%zz=2&=3&c').getQuery()", Ok(json!({"": ["3"], "c": [""]}))),
        ("url('https://e.com/p?').getQuery()", Ok(json!({}))),
        ("url('mailto:a@example.com').getHost()", Ok(json!(""))),
        ("url('//example.com/a').getHost()", Ok(json!("example.com"))),
        ("url('https://a:b:c/')", Err("`url` is given a text that is no URL")),
        ("isURL('https://user:pass@example.com:80/path?query=val#fragment')", Ok(json!(true))),
        ("isURL('/absolute-path')", Ok(json!(true))),
        ("isURL('../relative-path')", Ok(json!(false))),
        ("isURL('')", Ok(json!(false))),
        ("isURL(':80')", Ok(json!(false))),
        ("isURL('https://[::1/')", Ok(json!(false))),
        ("isURL('https://[nope]/')", Ok(json!(false))),
        ("isURL('https://exa mple.com/')", Ok(json!(false))),
        ("isURL('https://example.com/%zz')", Ok(json!(false))),
        ("isURL('https://example.com/\\n')", Ok(json!(false))),
        ("isURL('https://e%41.com/')", Ok(json!(false))),
        ("isURL(object.ints)", Err("`isURL` can't be applied to (list)")),
        ("url('HTTP://a/b') == url('http://a/b')", Ok(json!(true))),
        ("string(url('/a'))", Ok(json!("/a"))),
    ]);
}

#[test]
fn addresses_and_networks() {
    check(&[
        ("ip('192.168.0.1')", Ok(json!("192.168.0.1"))),
        ("ip('2001:DB8::0:ABCD')", Ok(json!("2001:db8::abcd"))),
        ("ip('::ffff:1.2.3.4')", Err("`ip` is given a text that is no IP address")),
        ("isIP('fe80::1%eth0') || isIP('127.0.0.256') || isIP('01.2.3.4') || isIP('')", Ok(json!(false))),
        ("isIP('::1') && isIP('0.0.0.0')", Ok(json!(true))),
        ("isIP(1)", Err("`isIP` can't be applied to (int)")),
        ("ip.isCanonical('2001:db8::abcd')", Ok(json!(true))),
        ("ip.isCanonical('2001:DB8::ABCD')", Ok(json!(false))),
        ("ip.isCanonical('nope')", Err("`ip.isCanonical` is given a text that is no IP address")),
        ("[ip('127.0.0.1').family(), ip('::1').family()]", Ok(json!([4, 6]))),
        (
            "ip('::').isUnspecified() && ip('127.9.9.9').isLoopback() && ip('::1').isLoopback()",
            Ok(json!(true)),
        ),
        (
            "['224.0.0.1', '224.0.1.1', 'ff02::1', 'fd00::1'].map(a, ip(a).isLinkLocalMulticast())",
            Ok(json!([true, false, true, false])),
        ),
        (
            "['169.254.169.254', '192.168.0.1', 'fe80::1', 'fd80::1'].map(a, ip(a).isLinkLocalUnicast())",
            Ok(json!([true, false, true, false])),
        ),
        (
            "['192.168.0.1', '255.255.255.255', '2001:db8::abcd', 'ff00::1', '::'].map(a, ip(a).isGlobalUnicast())",
            Ok(json!([true, false, true, false, false])),
        ),
        ("ip('::1') == ip('0::1') && ip('::1') != '::1'", Ok(json!(true))),
        ("string(ip('0::1')) + '!'", Ok(json!("::1!"))),
        ("cidr('192.168.0.1/24')", Ok(json!("192.168.0.1/24"))),
        ("string(cidr('192.168.0.1/24').masked())", Ok(json!("192.168.0.0/24"))),
        ("cidr('2001:db8::1/0').masked()", Ok(json!("::/0"))),
        ("cidr('10.1.2.3/0').masked()", Ok(json!("0.0.0.0/0"))),
        ("cidr('2001:db8::1/128').masked()", Ok(json!("2001:db8::1/128"))),
        ("cidr('192.168.0.1/24') == cidr('192.168.0.1/24').masked()", Ok(json!(false))),
        ("[cidr('192.168.0.1/24').ip().family(), cidr('::1/128').prefixLength()]", Ok(json!([4, 128]))),
        ("cidr('192.168.0.0/24').containsIP('192.168.0.255')", Ok(json!(true))),
        ("cidr('192.168.0.0/24').containsIP(ip('192.168.1.0'))", Ok(json!(false))),
        ("cidr('0.0.0.0/0').containsIP('::1')", Ok(json!(false))),
        ("cidr('::/0').containsIP('::1')", Ok(json!(true))),
        ("cidr('::/0').containsIP('nope')", Err("`containsIP` is given a text that is no IP address")),
        ("cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')", Ok(json!(true))),
        ("cidr('192.168.10.0/24').containsCIDR(cidr('192.168.0.0/16'))", Ok(json!(false))),
        ("cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.128/25'))", Ok(json!(true))),
        (
            "['192.168.0.0/33', '::1/129', '10.0.0.0', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/+8', '::ffff:1.2.3.4/8'].exists(c, isCIDR(c))",
            Ok(json!(false)),
        ),
        ("isCIDR('::1/128')", Ok(json!(true))),
        ("cidr('10.0.0.0/99')", Err("`cidr` is given a text that is no network in CIDR notation")),
    ]);
}

#[test]
fn formats() {
    check(&[
        ("format.dns1123Label().validate(object.name).hasValue()", Ok(json!(false))),
        (
            "format.dns1123Label().validate('A').value()",
            Ok(json!([
                "must consist of lower case letters, digits and '-', and start and end with a letter or digit"
            ])),
        ),
        (
            "size(format.dns1123Label().validate(object.text + lists.range(70).map(i, 'a').join()).value())",
            Ok(json!(2)),
        ),
        ("['', 'a.b', '-a', 'a-'].all(t, format.dns1123Label().validate(t).hasValue())", Ok(json!(true))),
        (
            "['a.b', 'a-1.2', 'x'].exists(t, format.dns1123Subdomain().validate(t).hasValue())",
            Ok(json!(false)),
        ),
        (
            "['a..b', '.a', 'A.b', ''].all(t, format.dns1123Subdomain().validate(t).hasValue())",
            Ok(json!(true)),
        ),
        (
            "[format.dns1035Label().validate('a1'), format.dns1035Label().validate('1a')].map(v, v.hasValue())",
            Ok(json!([false, true])),
        ),
        (
            "['my-label-prefix-', 'a-', 'a'].exists(t, format.dns1123LabelPrefix().validate(t).hasValue())",
            Ok(json!(false)),
        ),
        ("format.dns1035LabelPrefix().validate('-').hasValue()", Ok(json!(true))),
        ("format.dns1123SubdomainPrefix().validate('my.prefix-').hasValue()", Ok(json!(false))),
        (
            "['example.com/Name_1', 'name', 'a/b'].exists(t, format.qualifiedName().validate(t).hasValue())",
            Ok(json!(false)),
        ),
        (
            "['a/b/c', '/b', 'a/', 'A_b/c', ''].all(t, format.qualifiedName().validate(t).hasValue())",
            Ok(json!(true)),
        ),
        (
            "[format.labelValue().validate(''), format.labelValue().validate('a_B.1'), format.labelValue().validate('_a')].map(v, v.hasValue())",
            Ok(json!([false, false, true])),
        ),
        (
            "[format.uri().validate('http://example.com'), format.uri().validate('nope')].map(v, v.hasValue())",
            Ok(json!([false, true])),
        ),
        (
            "['123e4567-e89b-12d3-a456-426614174000', '123E4567E89B12D3A456426614174000'].exists(t, format.uuid().validate(t).hasValue())",
            Ok(json!(false)),
        ),
        (
            "['123e4567-e89b12d3-a456-426614174000', ''].all(t, format.uuid().validate(t).hasValue())",
            Ok(json!(true)),
        ),
        (
            "['aGVsbG8=', 'aGVs', 'aGVsbG8', 'a', '', 'üüüü'].map(t, format.byte().validate(t).hasValue())",
            Ok(json!([false, false, true, true, true, true])),
        ),
        (
            "['2021-01-31', '2024-02-29', '2023-02-29', '2021-13-01', '2021-1-1', '2021-01-00', '21-01-01', ''].map(t, format.date().validate(t).hasValue())",
            Ok(json!([false, false, true, true, true, true, true, true])),
        ),
        (
            "['2021-01-01T00:00:00Z', '2021-01-01t23:59:59.5+01:30', '2021-01-01 00:00:00Z', '2021-01-01T24:00:00Z', '2021-01-01T00:00:00', '2021-01-01T00:00Z', '2021-01-01T00:00:00.Z', '2021-01-01T00:00:00+1'].map(t, format.datetime().validate(t).hasValue())",
            Ok(json!([false, false, true, true, true, true, true, true])),
        ),
        ("format.named('dns1123Label').value().validate('a').hasValue()", Ok(json!(false))),
        ("format.named('nope').hasValue()", Ok(json!(false))),
        ("format.named('uuid').value() == format.uuid() && format.uuid() != format.date()", Ok(json!(true))),
        ("format.date()", Err("the result is of type kubernetes.NamedFormat, which JSON can't hold")),
        ("format.date().validate(1)", Err("`validate` can't be applied to (kubernetes.NamedFormat, int)")),
        ("format.named(object.ints)", Err("`format.named` can't be applied to (list)")),
    ]);
    for name in super::format::NAMES {
        let expression = format!("format.named('{name}').value() == format.{name}()");
        assert_eq!(run(&expression, &json!({})), Ok(json!(true)), "{name}");
    }
}

#[test]
fn the_documented_examples_run() {
    let object = json!({"spec": {"containers": [
        {"name": "a", "image": "registry/shop:v1.27", "resources": {"requests": {"cpu": "250m"}}},
        {"name": "b", "image": "envoy:2"},
        {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}},
    ]}});
    for (expression, expected) in [
        (
            "object.spec.containers.map(c, quantity(c.?resources.?requests.?cpu.orValue('0'))).sum()",
            json!("1250m"),
        ),
        ("semver(object.spec.containers[0].image.split(':')[1], true)", json!("1.27.0")),
    ] {
        assert_eq!(run(expression, &object), Ok(expected), "{expression}");
    }
}

#[test]
fn programs_that_can_only_fail_are_refused() {
    for (expression, message, remedy) in [
        ("object.name.lowerASCII()", "unknown function `lowerASCII`", "Kubernetes' libraries"),
        ("lowerAscii(object.name)", "unknown function `lowerAscii`", "call it as `x.lowerAscii()`"),
        ("object.name.quantity()", "unknown function `quantity`", "call it as `quantity(x)`"),
        ("object.ints.average()", "unknown function `average`", "Kubernetes' libraries"),
        ("sets.union([1], [2])", "unknown function `sets.union`", "Kubernetes' libraries"),
        ("math.pow(2, 3)", "unknown function `math.pow`", "Kubernetes' libraries"),
        ("lists.repeat(2)", "unknown function `lists.repeat`", "Kubernetes' libraries"),
        ("strings.upper('a')", "unknown function `strings.upper`", "Kubernetes' libraries"),
        ("format.ipv4()", "unknown function `format.ipv4`", "Kubernetes' libraries"),
        ("sets", "unknown name `sets`", "the object is called"),
        ("object.image.find('[')", "regular expression `[`", "RE2"),
        ("object.image.findAll('(', 2)", "regular expression `(`", "RE2"),
        ("object.image.findAll('(\\\\w{1000}){1000}')", "invalid or too large regular expression", "RE2"),
        ("math.greatest()", "math.greatest() requires at least one argument", "correct"),
        ("math.least('a')", "math.least() invalid single argument value", "correct"),
        ("object.ints.sortBy(1, 2)", "sortBy() must be a simple name", "correct"),
        ("object.ints.sortBy(x, y)", "unknown name `y`", "the object is called"),
        ("object.ints.sortBy(x)", "unknown function `sortBy`", "Kubernetes' libraries"),
        (
            "object.ints.map(a, a.map(b, b.map(c, c.sortBy(d, d.map(e, e)))))",
            "macros deeper than 4",
            "simplify",
        ),
        ("@find(object.name, 'a')", "an error at line 1", "correct"),
        ("authorizer.group('')", "unknown name `authorizer`", "the object is called"),
    ] {
        let refusal = Expression::compile(expression).map(|_| expression).expect_err("refused");
        assert!(refusal.message.contains(message), "{expression}: {refusal:?}");
        assert!(refusal.remedy.contains(remedy), "{expression}: {refusal:?}");
    }
}

#[test]
fn names_of_libraries_are_free_for_variables_and_fields() {
    let object = json!({"ip": {"url": "u"}, "l": [{"format": 1, "sets": [2]}]});
    for (expression, expected) in [
        ("object.ip.url", json!("u")),
        ("object.l.map(format, format.format)", json!([1])),
        ("object.l.map(sets, sets.sets.max())", json!([2])),
        ("['b', 'a'].sortBy(lists, lists)", json!(["a", "b"])),
        ("[['a'], []].map(math, math.size())", json!([1, 0])),
    ] {
        assert_eq!(run(expression, &object), Ok(expected), "{expression}");
    }
}

#[test]
fn failures_show_no_value_of_the_object() {
    let object = json!({"a": "canary", "l": ["canary"], "m": {"canary": "canary"}});
    for expression in [
        "object.a.charAt(99)",
        "object.a.substring(3, 99)",
        "object.m.map(k, object.l).join()",
        "'%d'.format([object.a])",
        "(object.a + '%z').format([1])",
        "('%' + object.a.replace('c', 'z')).format([1])",
        "object.l.sum()",
        "object.l.slice(0, 9)",
        "[object.l].sort()",
        "math.greatest(object.l)",
        "object.a.find(object.a + '[')",
        "object.a.findAll('(' + object.a)",
        "quantity(object.a)",
        "semver(object.a)",
        "url(object.a)",
        "ip(object.a)",
        "ip.isCanonical(object.a)",
        "cidr(object.a)",
        "cidr('::/0').containsCIDR(object.a)",
        "quantity('1').add(object.a)",
        "format.uuid().validate(object.a).value()[9]",
    ] {
        match run(expression, &object) {
            Err(Outcome::Failure(failure)) => assert!(!failure.contains("canary"), "{expression}: {failure}"),
            other => panic!("{expression}: {other:?}"),
        }
    }
}

#[test]
fn calls_that_ask_for_too_much_work_end_without_a_result() {
    let object = json!({
        "l": (0..300).collect::<Vec<_>>(), "t": (0..300).map(|i| format!("text {i}")).collect::<Vec<_>>(),
        "n": vec![vec![1; 100]; 100], "text": "ab ".repeat(30_000), "template": "%d".repeat(1000),
    });
    for call in [
        "object.text.replace('a', object.text) == ''",
        "object.text.replace('', object.text) == ''",
        "object.l.all(a, object.text.replace('x', 'y') != '')",
        "object.l.all(a, object.l.all(b, object.text.indexOf('zz') < 0))",
        "object.l.all(a, object.l.all(b, object.text.lastIndexOf('zz', 5) < 0))",
        "object.l.all(a, object.l.all(b, object.text.substring(1).charAt(5) != 'z'))",
        "object.l.all(a, object.text.reverse().upperAscii().trim() != strings.quote(object.text))",
        "object.l.all(a, size(object.text.split('')) > 0)",
        "object.l.all(a, size(object.text.split(' ')) > 0)",
        "object.l.all(a, object.l.all(b, object.t.join(', ') != ''))",
        "object.t.map(a, object.text).join('') == ''",
        "[object.text, object.text].join(object.text).split('b').join(object.text) == ''",
        "object.l.all(a, object.text.findAll('[a-z]+') != [])",
        "object.text.findAll('.*x|[a-z]') == []",
        "object.l.all(a, object.text.find('z') == '')",
        "object.t.all(a, object.text.find(a) == '')",
        "object.l.all(a, object.n.flatten() != [])",
        "object.l.all(a, object.l.all(b, object.n.flatten(5) != []))",
        "object.l.all(a, object.l.all(b, object.l.sort() != []))",
        "object.l.all(a, object.l.all(b, object.t.sortBy(t, t) != []))",
        "object.l.all(a, object.l.all(b, object.l.reverse() != []))",
        "object.l.all(a, object.l.all(b, object.l.slice(0, 1) != []))",
        "object.l.all(a, size(object.t.distinct()) == 300)",
        "object.l.all(a, object.l.all(b, object.l.sum() + object.l.max() > 0 && object.l.isSorted()))",
        "object.l.all(a, object.l.all(b, math.greatest(object.l) > 0))",
        "object.l.all(a, object.l.all(b, object.l.indexOf(-1) < 0 && !object.l.includes(-1)))",
        "object.l.all(a, sets.equivalent(object.t, object.t))",
        "object.l.all(a, !sets.intersects(object.t, object.l))",
        "object.l.all(a, object.l.all(b, object.template.format(object.l + object.l + object.l + object.l) != ''))",
        "object.l.all(a, object.l.all(b, '%s'.format([object.n]) != ''))",
        "lists.range(9223372036854775807) == []",
        "lists.range(300000).map(a, a).sort().reverse() == []",
        "object.l.all(a, object.l.all(b, !isQuantity(object.text) && !isSemver(object.text, true)))",
        "object.l.all(a, object.l.all(b, !isURL(object.text) && !isIP(object.text) && !isCIDR(object.text)))",
        "object.l.all(a, format.byte().validate(object.text).hasValue())",
        "[url('/?' + object.text.replace(' ', '&'))].all(u, object.l.all(a, size(u.getQuery()) > 0))",
        "[url('/' + object.text)].all(u, object.l.all(a, object.l.all(b, u == url('/' + object.text))))",
        "[url('/' + object.text)].all(u, [u].all(v, object.l.all(a, object.l.all(b, u == v))))",
        "[semver('1.0.0-' + object.text.replace(' ', '.') + 'z')].all(u, object.l.all(a, object.l.all(b, u.compareTo(u) == 0)))",
        // A variable as the target is read each time too.
        "[object.text].all(t, object.l.all(a, object.l.all(b, !t.contains('zz'))))",
        "[object.text].all(ip, object.l.all(a, object.l.all(b, !ip.contains('zz'))))",
    ] {
        let started = std::time::Instant::now();
        match run(call, &object) {
            Err(Outcome::Failure(failure)) => {
                assert!(failure.contains("visits or copies more than 1000000 values"), "{call}: {failure}");
            }
            other => panic!("{call}: {other:?}"),
        }
        // Generous: a debug build on a busy machine. Without a bound they take minutes or all memory.
        assert!(started.elapsed().as_secs() < 60, "{call}: {:?}", started.elapsed());
    }
}

/// Lists and texts that the functions have something to do with.
fn any_argument() -> impl Strategy<Value = Value> {
    let number =
        prop_oneof![(-5..5i64).prop_map(Value::from), (0..4u8).prop_map(|n| json!(f64::from(n) / 2.0))];
    let text = prop::sample::select(vec![
        "",
        "a",
        "b",
        "a.b",
        "aé",
        "1",
        "1.5Gi",
        "1.2.3",
        "v1",
        "/a?b=c",
        "http://a:1/",
        "10.0.0.1",
        "10.0.0.0/8",
        "%s",
        "2021-01-01",
    ]);
    let list = prop_oneof![
        prop::collection::vec(number.clone(), 0..6).prop_map(Value::from),
        prop::collection::vec(-5..5i64, 0..6).prop_map(Value::from),
        prop::collection::vec(text.clone().prop_map(Value::from), 0..6).prop_map(Value::from),
        prop::collection::vec(prop::collection::vec(number.clone(), 0..3), 0..4)
            .prop_map(|lists| json!(lists)),
    ];
    prop_oneof![4 => list, 2 => text.prop_map(Value::from), 1 => number, 1 => any_json()]
}

/// Programs over `«a»` and `«b»`.
const PROGRAMS: [&str; 52] = [
    "«a».charAt(1)",
    "«a».indexOf(«b»)",
    "«a».lastIndexOf(«b»)",
    "«a».indexOf(«b», 1)",
    "«a».lastIndexOf(«b», 1)",
    "«a».join()",
    "«a».join(«b»)",
    "«a».lowerAscii()",
    "«a».replace(«b», 'x')",
    "«a».split(«b»)",
    "«a».split('')",
    "«a».substring(1)",
    "«a».trim()",
    "«a».reverse()",
    "strings.quote(«a»)",
    "'%s'.format([«a»])",
    "'%s %s'.format(«a»)",
    "«a».format([«b»])",
    "«a».isSorted()",
    "«a».sum()",
    "«a».min()",
    "«a».max()",
    "«a».includes(«b»)",
    "«a».slice(1, 2)",
    "«a».flatten()",
    "«a».flatten(2)",
    "«a».distinct()",
    "«a».sort()",
    "«a».sortBy(x, x)",
    "«a».sortBy(x, size(x))",
    "[«a», «b»].distinct()",
    "[«a», «b»].flatten()",
    "(«a» + «b»).distinct()",
    "sets.contains(«a», «b»)",
    "sets.equivalent(«a», «b»)",
    "sets.intersects(«a», «b»)",
    "math.greatest(«a»)",
    "math.least(«a», «b»)",
    "«a».find(«b»)",
    "«a».findAll(«b»)",
    "«a».findAll('[a-z]')",
    "quantity(«a»)",
    "«a».map(x, quantity(x)).sum()",
    "isSemver(«a», true)",
    "semver(«a», true)",
    "url(«a»).getQuery()",
    "isURL(«a»)",
    "ip(«a»)",
    "isCIDR(«a»)",
    "cidr(«a»).containsIP(«b»)",
    "format.qualifiedName().validate(«a»)",
    "format.date().validate(«a»)",
];

/// The program over what stands for its two values; none where it can only fail.
fn program(program: &str, a: &str, b: &str) -> Option<Expression> {
    Expression::compile(&program.replace("«a»", a).replace("«b»", b)).ok()
}

thread_local! {
    static LAZY: Vec<Expression> =
        PROGRAMS.iter().map(|text| program(text, "object.a", "object.b").expect("compiles")).collect();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_program_over_lazy_values_equals_the_same_over_made_ones(
        a in any_argument(), b in any_argument(), mixed in any::<bool>(),
    ) {
        let object = json!({"a": a, "b": b});
        let (made_a, made_b) = (literal(&object["a"]), literal(&object["b"]));
        prop_assume!(made_a.len() + made_b.len() < 3000);
        let node = Node::from(&object);
        let scope = Scope::new(&node);
        let run = |expression: &Expression| {
            let mut out = Vec::new();
            // Failures of standard operators are worded differently.
            (std::mem::discriminant(&expression.evaluate(&scope, &mut out)), String::from_utf8(out).unwrap())
        };
        let half = if mixed { ("object.a", &*made_b) } else { (&*made_a, "object.b") };
        LAZY.with(|lazy| {
            for (text, lazy) in PROGRAMS.into_iter().zip(lazy) {
                for (a, b) in [(&*made_a, &*made_b), half] {
                    let Some(made) = program(text, a, b) else { continue };
                    prop_assert_eq!(run(&made), run(lazy), "{} over {} and {}", text, a, b);
                }
            }
            Ok(())
        })?;
    }
}
