use super::*;
use proptest::prelude::*;

fn read(query: &str) -> String {
    parse(query).unwrap_or_else(|error| panic!("{}", error.pointed_at(query))).to_string()
}

#[test]
fn what_is_written_and_what_it_means() {
    for (query, meaning) in [
        ("", "*"),
        ("  * ", "*"),
        ("timeout", r#""timeout""#),
        ("time* *out *meou*", r#""time"* *"out" *"meou"*"#),
        (r#""connection refused" "a \"quote\" \\ \n""#, r#""connection refused" "a \"quote\" \\ \\n""#),
        ("a b OR c d", r#"("a" "b") OR ("c" "d")"#),
        ("a AND (b OR c)", r#""a" ("b" OR "c")"#),
        ("-(a b) NOT c", r#"(-"a" OR -"b") -"c""#),
        ("-(a OR -b)", r#"-"a" "b""#),
        ("((a))", r#""a""#),
        ("a a", r#""a""#),
        (r"/us\/er=\d+/", r"/us\/er=\d+/"),
        ("path:/admin/", "path:/admin/"),
        ("path=/admin/ x", r#"path="/admin/" "x""#),
        (r#"path:"/admin/x""#, r#"path:"/admin/x""#),
        ("level:error", "level:ERROR"),
        ("level>=warn level<fatal", "(level:WARN OR level:ERROR)"),
        ("-level:info", "(level:TRACE OR level:DEBUG OR level:WARN OR level:ERROR OR level:FATAL OR level:UNKNOWN)"),
        ("service:auth tag:pay*", r#"service="auth" tag="pay"*"#),
        ("message:timeout msg=x", r#"message:"timeout" msg="x""#),
        ("http.status>=500 ms<1.5", "http.status>=500 ms<1.5"),
        ("15:00:00 10.0.0.1:80", r#""15:00:00" "10.0.0.1:80""#),
        ("user@example.com x-1", r#""user@example.com" "x-1""#),
        (r#""OR" "NOT""#, r#""OR" "NOT""#),
        ("* OR a", "*"),
        ("* a", r#""a""#),
        ("-*", "(level:TRACE -level:TRACE)"),
        ("straße:ÄÖ", r#"straße:"ÄÖ""#),
    ] {
        assert_eq!(read(query), meaning, "{query}");
    }
}

#[test]
fn errors_point_at_the_column() {
    for (query, column, words) in [
        ("(a", 1, "never closed"),
        ("a)", 2, "closes none"),
        ("é \"open", 3, "never closed"),
        ("a \"\"", 3, "nothing between"),
        ("a /open", 3, "never closed"),
        ("http://x", 6, "empty"),
        ("/a(/", 1, "unclosed"),
        ("x:/[/", 3, "unclosed"),
        ("a OR", 5, "must follow"),
        ("OR a", 1, "both sides"),
        ("a OR OR b", 6, "both sides"),
        ("- a", 1, "dash"),
        ("()", 2, "before"),
        ("a level>=loud", 10, "trace, debug"),
        ("/a/ b:/b/ /c/ /d/ /e/", 19, "at most 4"),
        ("level:err*", 7, "trace, debug"),
        ("level:/x/", 7, "a name"),
        ("ms>fast", 4, "number"),
        ("ms>=*", 5, "star"),
        ("a field: b", 3, "must follow"),
        ("service:(a OR b)", 9, "one value"),
        ("a\"b\"", 2, "space"),
        ("/a/b", 4, "space"),
    ] {
        let error = parse(query).unwrap_err();
        assert_eq!(error.column, column, "{query}: {error}");
        assert!(error.message.contains(words), "{query}: {error}");
    }
    let error = parse("é \"open").unwrap_err();
    assert_eq!(error.pointed_at("é \"open"), "this quote is never closed\n  é \"open\n    ^");
}

#[test]
fn what_is_too_much_is_refused() {
    assert!(parse(&"(".repeat(2000)).unwrap_err().message.contains("deep"));
    assert!(parse(&("-".repeat(2000) + "a")).unwrap_err().message.contains("deep"));
    assert!(parse(&"a ".repeat(200)).unwrap_err().message.contains("conditions"));
    assert!(parse(&"a".repeat(100_000)).unwrap_err().message.contains("bytes"));
    assert!(parse("/(((a{99}){99}){99})/").unwrap_err().message.contains("too large"));
}

fn any_literal() -> impl Strategy<Value = Literal> {
    ("[a-zé\"\\\\ /*()-]{1,6}", any::<bool>(), any::<bool>()).prop_map(|(text, open_start, open_end)| Literal {
        text,
        open_start,
        open_end,
    })
}

fn any_term() -> impl Strategy<Value = Term> {
    let field = prop_oneof![
        Just(Field::Service),
        Just(Field::Tag),
        Just(Field::Message),
        "[a-z_@][a-z0-9._@-]{0,4}".prop_filter("no alias", |name| !["tag", "tags", "level"].contains(&&name[..])).prop_map(Field::Named)
    ];
    let compare = prop::sample::select(vec![Compare::Less, Compare::LessOrEqual, Compare::Greater, Compare::GreaterOrEqual]);
    let number = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let test = prop_oneof![
        any_literal().prop_map(Test::Is),
        "[a-z/.]{1,4}".prop_map(Test::Regex),
        (compare, number).prop_map(|(compare, number)| Test::Compare(compare, number)),
    ];
    prop_oneof![
        any_literal().prop_map(Term::Text),
        "[a-z/.]{1,4}".prop_map(Term::Regex),
        any::<u8>().prop_map(|bits| Term::Levels(LevelSet(bits & 0x7f))),
        (field, test).prop_map(|(field, test)| Term::Field(field, test)),
    ]
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![1 => Just(Expr::All), 8 => any_term().prop_map(Expr::Term)];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

/// `Field::Named("service")` and the like are written as what they are read as.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::All => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(is_plain),
        Expr::Not(inner) => is_plain(inner),
        Expr::Term(Term::Field(Field::Named(name), _)) => !["service", "message"].contains(&&name[..]),
        Expr::Term(_) => true,
    }
}

proptest! {
    #[test]
    fn what_is_shown_reads_as_the_same(expr in any_expr()) {
        let normal = expr.normal();
        prop_assume!(is_plain(&normal));
        prop_assert_eq!(normal.clone().normal(), normal.clone(), "normal form is final");
        let shown = normal.to_string();
        // Levels in one set are shown one by one, so the normal form is compared, and not every order of its terms.
        match parse(&shown) {
            Ok(again) => prop_assert_eq!(again.to_string(), shown),
            Err(error) => prop_assert!(error.message.contains("at most"), "{}", error.pointed_at(&shown)),
        }
    }

    #[test]
    fn any_text_is_read_or_refused_within_it(query in "[a-z0-9:=<>\"/\\\\()*é. -]{0,30}|(.|\n){0,30}") {
        match parse(&query) {
            Ok(expr) => prop_assert_eq!(parse(&expr.to_string()).map(|again| again.to_string()), Ok(expr.to_string())),
            Err(error) => prop_assert!((1..=query.chars().count() + 1).contains(&error.column)),
        }
    }
}
