use super::super::Fault;
use super::*;

fn kinds(faults: &Faults) -> Vec<String> {
    faults
        .list()
        .into_iter()
        .map(|fault: Fault| fault.kind)
        .collect()
}

#[test]
fn all_faults_are_noted_at_once() {
    let faults = Faults::default();
    let mut fields = Fields::from_body(br#"{"b": 7, "c": ["x", 2, 3], "d": 1}"#, &faults).unwrap();
    let a: Option<String> = fields.required("a", Field::text);
    let b = fields.required("b", Field::text);
    let c = fields.required("c", |field| field.list(0..=3, Field::text));
    fields.finish();
    assert!(a.is_none() && b.is_none() && c.is_none());
    assert_eq!(
        kinds(&faults),
        [
            "missing",
            "string_type",
            "string_type",
            "string_type",
            "extra_forbidden"
        ]
    );
    assert_eq!(
        faults.list()[3].loc,
        [name("body"), name("c"), Step::Index(2)]
    );
}

#[test]
fn what_is_no_json_is_one_fault_with_its_position() {
    let faults = Fields::from_body(b"{\"a\": 1,\n  oops}", &Faults::default()).unwrap_err();
    assert_eq!(faults.list()[0].loc, [name("body"), Step::Index(11)]);
    let faults = Fields::from_body(b"[1]", &Faults::default()).unwrap_err();
    assert_eq!(kinds(&faults), ["model_attributes_type"]);
}

#[test]
fn what_no_type_holds_is_at_fault_where_it_is() {
    let faults = Faults::default();
    let body =
        br#"{"texts": ["a", "\ud800", 1e400], "numbers": [1, 1e400], "by_name": {"a": "\udc00"},
                    "bad_name": {"\ud800": 1}, "unread": [{"b": ["\ud800"]}]}"#;
    let mut fields = Fields::from_body(body, &faults).unwrap();
    assert!(
        fields
            .required("texts", |field| field.list(0..=3, Field::text))
            .is_none()
    );
    let numbers = fields.required("numbers", |field| {
        field.list(0..=3, |item| item.integer(0..=9))
    });
    assert!(numbers.is_none());
    assert!(
        fields
            .required("by_name", |field| field.entries(1, |_, value| value.text()))
            .is_none()
    );
    assert!(fields.required("bad_name", Field::object).is_none());
    fields.finish();
    let told: Vec<String> = faults
        .list()
        .iter()
        .map(|fault| {
            format!(
                "{} {}",
                serde_json::to_string(&fault.loc).unwrap(),
                fault.kind
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"["body","texts",1] string_unicode"#,
            r#"["body","texts",2] string_type"#,
            r#"["body","numbers",1] finite_number"#,
            r#"["body","by_name","a"] string_unicode"#,
            r#"["body","bad_name"] string_unicode"#,
            r#"["body","unread"] extra_forbidden"#,
        ]
    );
}

#[test]
fn numbers_are_read_as_pydantic_reads_them() {
    let read = |json: &str| {
        let faults = Faults::default();
        let body = format!("{{\"n\": {json}}}");
        let number = Fields::from_body(body.as_bytes(), &faults)
            .unwrap()
            .required("n", |field| field.integer(1..=60));
        (number, kinds(&faults).pop())
    };
    assert_eq!(read("5"), (Some(5), None));
    assert_eq!(read("5.0"), (Some(5), None));
    assert_eq!(read("\"5\""), (Some(5), None));
    assert_eq!(read("5.5").1.unwrap(), "int_from_float");
    assert_eq!(read("0").1.unwrap(), "greater_than_equal");
    assert_eq!(read("61").1.unwrap(), "less_than_equal");
    assert_eq!(read("1e300").1.unwrap(), "less_than_equal");
    assert_eq!(
        read("99999999999999999999999").1.unwrap(),
        "less_than_equal"
    );
    assert_eq!(
        read("\"-99999999999999999999999\"").1.unwrap(),
        "greater_than_equal"
    );
    assert_eq!(read("\"5.0\""), (Some(5), None));
    assert_eq!(read("true"), (Some(1), None));
    assert_eq!(read("false").1.unwrap(), "greater_than_equal");
    assert_eq!(read("[]").1.unwrap(), "int_type");
    assert_eq!(read("\"5.5\"").1.unwrap(), "int_parsing");
    assert_eq!(read("\"x\"").1.unwrap(), "int_parsing");
}

#[test]
fn truth_values_are_read_as_pydantic_reads_them() {
    let read = |json: &str| {
        let faults = Faults::default();
        let body = format!("{{\"b\": {json}}}");
        let value = Fields::from_body(body.as_bytes(), &faults)
            .unwrap()
            .required("b", Field::boolean);
        (value, kinds(&faults).pop())
    };
    for (json, value) in [
        ("true", true),
        ("0", false),
        ("1.0", true),
        ("\"OFF\"", false),
    ] {
        assert_eq!(read(json), (Some(value), None), "{json}");
    }
    for (json, kind) in [
        ("2", "bool_parsing"),
        ("\"1.0\"", "bool_parsing"),
        ("1.5", "bool_type"),
        ("1e400", "bool_type"),
        ("{}", "bool_type"),
        ("\"\\ud800\"", "string_unicode"),
    ] {
        assert_eq!(read(json).1.as_deref(), Some(kind), "{json}");
    }
}
