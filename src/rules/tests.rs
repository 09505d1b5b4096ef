use super::*;
use proptest::prelude::*;

struct Pairs<'a>(&'a [(&'a str, &'a str)]);

impl Fields for Pairs<'_> {
    fn visit(&self, name: &str, found: &mut dyn FnMut(&str)) {
        self.0.iter().filter(|(key, _)| *key == name).for_each(|(_, value)| found(value));
    }
}

fn rules(filters: &[&str], excludes: &[&str], tags: &[&str]) -> Rules {
    let parse = |texts: &[&str]| texts.iter().map(|text| Matcher::parse(text).unwrap()).collect();
    let tags = tags.iter().map(|text| TagRule::parse(text).unwrap()).collect();
    Rules::compile(&RuleTexts { filters: parse(filters), excludes: parse(excludes), tags }).unwrap()
}

#[test]
fn how_rules_are_read() {
    let table: [(&str, Option<&str>, &str); 14] = [
        ("ERROR|FATAL", None, "ERROR|FATAL"),
        ("level=ERROR|FATAL", Some("level"), "ERROR|FATAL"),
        ("service:pay.*", Some("service"), "pay.*"),
        ("@meta.user-id=4=2", Some("@meta.user-id"), "4=2"),
        ("line=user=42", None, "user=42"),
        ("line:a:b", None, "a:b"),
        ("ERROR: disk", None, "ERROR: disk"),
        ("https://example.org", None, "https://example.org"),
        ("std::io", None, "std::io"),
        ("a==b", None, "a==b"),
        ("12:30", None, "12:30"),
        ("(a)=b", None, "(a)=b"),
        ("=x", None, "=x"),
        ("é=x", None, "é=x"),
    ];
    for (text, field, regex) in table {
        assert_eq!(Matcher::parse(text), Ok(Matcher { field: field.map(str::to_owned), regex: regex.to_owned() }), "{text}");
    }
    let tag = TagRule::parse("payment=service:pay.*").unwrap();
    assert_eq!((tag.name.as_str(), tag.matcher), ("payment", Matcher::parse("service=pay.*").unwrap()));
    assert_eq!(TagRule::parse("oom=kernel: Out of memory").unwrap().matcher.field, None);
}

#[test]
fn a_bad_rule_is_refused_with_its_position() {
    for (text, words) in [("a(b", "at character 2"), ("level=a(b", "at character 8"), ("level=", "empty"), ("", "empty")] {
        let said = Matcher::parse(text).unwrap_err();
        assert!(said.contains(words), "{text}: {said}");
    }
    for (text, words) in [("slow", "NAME="), ("=x", "NAME="), ("a b=x", "NAME="), ("né=x", "NAME="), ("t=service:a[", "at character 12")] {
        let said = TagRule::parse(text).unwrap_err();
        assert!(said.contains(words), "{text}: {said}");
    }
    let many = RuleTexts { filters: vec![Matcher::parse("a").unwrap(); RULES_MAX + 1], ..RuleTexts::default() };
    assert!(Rules::compile(&many).is_err());
}

#[test]
fn any_filter_and_no_exclusion() {
    let mut rules = rules(&["level=ERROR", "pay"], &["health", "service=probe"], &["slow=took=.*s$", "slow=timeout", "db=service:db"]);
    let nothing = Pairs(&[]);
    let table: [(&str, &dyn Fields, Verdict); 7] = [
        ("x", &nothing, Verdict::Unmatched),
        ("pay", &nothing, Verdict::Kept(0)),
        ("pay health", &nothing, Verdict::Excluded(0)),
        ("x", &Pairs(&[("level", "E"), ("level", "ERROR")]), Verdict::Kept(0)),
        ("pay", &Pairs(&[("service", "probe")]), Verdict::Excluded(1)),
        ("pay timeout", &Pairs(&[("service", "db")]), Verdict::Kept(0b11)),
        ("pay timeout", &Pairs(&[("took", "3s")]), Verdict::Kept(0b01)),
    ];
    for (line, fields, verdict) in table {
        assert_eq!(rules.judge(line.as_bytes(), fields), verdict, "{line}");
    }
    assert_eq!(rules.tags(0b11).collect::<Vec<_>>(), ["slow", "db"]);
    let mut totals = RuleCounts::default();
    rules.publish(&mut totals);
    rules.publish(&mut totals);
    assert_eq!(totals, RuleCounts { unmatched: 1, excluded: vec![1, 1], tagged: vec![2, 1] });
}

proptest! {
    #[test]
    fn a_set_says_what_each_of_its_regexes_says(line in "[abc é]{0,8}", which in prop::collection::vec(prop::sample::select(vec![
        "a", "b|c", "^a", "c$", "a.*b", r"\bb\b", "(?i)A", "é", "", "[^a]",
    ]), 1..10)) {
        let tags: Vec<String> = which.iter().enumerate().map(|(n, regex)| format!("t{n}=line=(?:{regex})")).collect();
        let mut rules = rules(&[], &[], &tags.iter().map(String::as_str).collect::<Vec<_>>());
        let expected = which.iter().enumerate().map(|(n, pattern)| u64::from(regex::compile(&[pattern]).unwrap().is_match(&line)) << n).sum();
        prop_assert_eq!(rules.judge(line.as_bytes(), &Pairs(&[])), Verdict::Kept(expected));
    }
}

#[test]
fn a_slip_of_the_keyboard_is_noticed() {
    for (field, known) in [
        ("levl", Some("level")),
        ("lvel", Some("level")),
        ("levels", Some("level")),
        ("elvel", Some("level")),
        ("levvel", Some("level")),
        ("Level", Some("level")),
        ("servcie", Some("service")),
        ("mesage", Some("message")),
        ("level", None),
        ("lvl", None),
        ("label", None),
        ("services_down", None),
        ("user_id", None),
    ] {
        let rules =
            Rules::compile(&RuleTexts { filters: vec![Matcher::parse(&format!("{field}=x")).unwrap()], ..RuleTexts::default() }).unwrap();
        assert_eq!(rules.doubtful_fields().next(), known.map(|known| (field, known)), "{field}");
    }
}
