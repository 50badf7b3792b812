//! The schema files say what the structs say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use etalon_reference::record::{Audit, Check, Environment, Record};
use jsonschema::{Validator, draft202012};
use serde_json::{Value, json};

use crate::{fixture, paired, records, run};

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(format!("{name}.schema.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn validator(name: &str) -> Validator {
    draft202012::new(&schema(name)).unwrap()
}

fn environment(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name)).unwrap()).unwrap()
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value) {
    let errors: Vec<_> = validator.iter_errors(value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?} in {value}");
}

#[test]
fn schemas_are_schemas() {
    for name in ["record", "environment", "audit", "check"] {
        draft202012::meta::validate(&schema(name)).unwrap();
    }
}

#[test]
fn every_field_has_a_description() {
    for name in ["record", "environment", "audit", "check"] {
        let schema = schema(name);
        let objects = [&schema].into_iter().chain(schema["$defs"].as_object().unwrap().values());
        for object in objects.filter(|o| o.get("properties").is_some()) {
            assert_eq!(object["additionalProperties"], json!(false));
            for (field, of) in object["properties"].as_object().unwrap() {
                let target = of["$ref"].as_str().and_then(|r| schema.pointer(r.trim_start_matches('#')));
                let told = of.get("description").or_else(|| target?.get("description"));
                assert!(told.is_some(), "{name}: {field}");
            }
        }
    }
}

#[test]
fn fixtures_are_valid_and_stay_so_through_the_structs() {
    let validator = validator("record");
    records().iter().for_each(|r| assert_valid(&validator, r));
    run().records.iter().for_each(|r| assert_valid(&validator, &serde_json::to_value(r).unwrap()));
}

#[test]
fn environments_are_valid_and_stay_so_through_the_structs() {
    let validator = validator("environment");
    for name in ["environment.json", "environment-incomplete.json"] {
        let value = environment(name);
        assert_valid(&validator, &value);
        let through: Environment = serde_json::from_value(value).unwrap();
        assert_valid(&validator, &serde_json::to_value(through).unwrap());
    }
}

#[test]
fn optional_fields_are_valid_with_and_without() {
    let validator = validator("record");
    for value in [paired(), full()] {
        assert_valid(&validator, &value);
        let through: Record = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(through.networks.is_empty(), value.get("networks").is_none());
        let back = serde_json::to_value(through).unwrap();
        assert_eq!(back.get("networks"), value.get("networks"), "none is absent, not an empty list");
        assert_eq!(back["time"], value["time"], "what there is nothing to say of is absent");
        assert_eq!(back["peers"], value["peers"]);
        assert_valid(&validator, &back);
    }
}

#[test]
fn infinite_errors_are_valid() {
    let mut record: Record = serde_json::from_value(paired()).unwrap();
    let accuracy = record.accuracy.as_mut().unwrap();
    (accuracy.bound, accuracy.max_rel, accuracy.headroom) = (f64::INFINITY, f64::INFINITY, None);
    assert_valid(&validator("record"), &serde_json::to_value(record).unwrap());
}

/// Fields that may be absent.
const OPTIONAL: [&str; 5] = ["networks", "variant", "coverage", "few", "way"];

/// Fields that an object of the schema lists, after a check that it requires them all, but for the optional ones.
fn fields(object: &Value) -> BTreeSet<String> {
    let listed: BTreeSet<_> = object["properties"].as_object().unwrap().keys().cloned().collect();
    let required: BTreeSet<_> =
        object["required"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_string()).collect();
    let wanted: BTreeSet<_> = listed.iter().filter(|f| !OPTIONAL.contains(&f.as_str())).cloned().collect();
    assert_eq!(wanted, required);
    listed
}

/// A record with every optional field.
fn full() -> Value {
    let mut record = paired();
    record["networks"] = json!([{"network": "VGG-16", "count": 2, "of": 13}]);
    record["variant"] = json!("silu");
    record["time"]["coverage"] = json!(0.9375);
    record["time"]["few"] = json!(true);
    record["peers"][0]["way"] = json!("mm_out");
    record
}

#[test]
fn fields_are_those_of_the_structs() {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let record: Record = serde_json::from_value(full()).unwrap();
    let (record, of) = (serde_json::to_value(record).unwrap(), schema("record"));
    assert_eq!(keys(&record), fields(&of));
    for (value, name) in [
        (&record["time"], "time"),
        (&record["work"], "work"),
        (&record["peers"][0], "peer"),
        (&record["networks"][0], "in_network"),
        (&record["accuracy"], "accuracy"),
    ] {
        assert_eq!(keys(value), fields(&of["$defs"][name]), "{name}");
    }
    let environment: Environment = serde_json::from_value(environment("environment.json")).unwrap();
    let (environment, of) = (serde_json::to_value(environment).unwrap(), schema("environment"));
    assert_eq!(keys(&environment), fields(&of));
    assert_eq!(keys(&environment["peaks"][0]), fields(&of["$defs"]["peak"]));
}

#[test]
fn an_audit_is_what_its_schema_says() {
    let row = crate::audit::row("gemm/square.512", 1.0, 1.25);
    assert_valid(&validator("audit"), &row);
    let through: Audit = serde_json::from_value(row).unwrap();
    let back = serde_json::to_value(through).unwrap();
    let of = schema("audit");
    let listed: BTreeSet<_> = of["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(back.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), listed);
    assert_eq!(of["required"].as_array().unwrap().len(), listed.len());
    for wrong in [with(back.clone(), "/alone", json!(0)), with(back.clone(), "/peer_alone_ns", json!([]))] {
        assert!(!validator("audit").is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn a_check_is_what_its_schema_says() {
    let row = crate::gate::check("avx2", "parity", 1, 0.5);
    assert_valid(&validator("check"), &row);
    let back = serde_json::to_value(serde_json::from_value::<Check>(row).unwrap()).unwrap();
    let of = schema("check");
    let listed: BTreeSet<_> = of["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(back.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), listed);
    assert_eq!(of["required"].as_array().unwrap().len(), listed.len());
    assert!(!validator("check").is_valid(&with(back, "/passed", json!(-1))));
}

/// Sets what `pointer` points to, or adds a field of that name.
fn with(mut value: Value, pointer: &str, to: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = to,
        object => object[field] = to,
    }
    value
}

fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().unwrap().remove(field).unwrap();
    value
}

#[test]
fn wrong_records_are_refused() {
    let validator = validator("record");
    for field in fields(&schema("record")).iter().filter(|f| !OPTIONAL.contains(&f.as_str())) {
        assert!(!validator.is_valid(&without(paired(), field)), "without {field}");
    }
    for (pointer, to) in [
        ("/schema_version", json!(2)),
        ("/schema_version", json!("1")),
        ("/colour", json!("blue")),
        ("/work/colour", json!("blue")),
        ("/id", json!("gemm")),
        ("/op", json!("")),
        ("/point", json!({"m": -1})),
        ("/point", json!({"m": 1.5})),
        ("/threads", json!(0)),
        ("/cache", json!("lukewarm")),
        ("/packing", json!("packed")),
        ("/pass", json!("sideways")),
        ("/fill", json!("random")),
        ("/status", json!("OK")),
        ("/status", json!("skipped")),
        ("/time/median_ns", json!(-1.0)),
        ("/time/samples_ns", json!([])),
        ("/work/flops", json!(null)),
        ("/work/bound", json!("network")),
        ("/peers", json!(null)),
        ("/peers/0", json!({})),
        ("/peers/0/ratio", json!(-1.2)),
        ("/peers/0/ratio_low", json!(0.0)),
        ("/accuracy/class_mismatches", json!(-1)),
        ("/accuracy/max_abs", json!(-1e-9)),
        ("/environment", json!("not a hash")),
        ("/networks", json!(null)),
        ("/networks", json!([])),
        ("/networks", json!([{"network": "VGG-16", "count": 0, "of": 13}])),
        ("/networks", json!([{"network": "", "count": 2, "of": 13}])),
        ("/networks", json!([{"network": "VGG-16", "count": 2}])),
    ] {
        assert!(!validator.is_valid(&with(paired(), pointer, to.clone())), "{pointer} = {to}");
    }
}

#[test]
fn wrong_environments_are_refused() {
    let validator = validator("environment");
    for (pointer, to) in [
        ("/schema_version", json!(0)),
        ("/complete", json!(false)),
        ("/missing", json!(["cpu.model"])),
        ("/facts", json!([])),
        ("/colour", json!("blue")),
        ("/peaks/0", json!({})),
        ("/peaks/0/value", json!(-1.0)),
        ("/peaks/0/unit", json!("furlongs")),
    ] {
        assert!(!validator.is_valid(&with(environment("environment.json"), pointer, to)), "{pointer}");
    }
}
