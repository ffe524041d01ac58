//! What the server tells of its routes is what they do, and what `docs/api.md` says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::memory::{HOST, Memory};
use crate::serving::Place;

const DOCUMENT: &str = "/api/openapi.json";

/// An id that nothing has.
const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// Each method and path of a document, with what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods").clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, said)| (method.to_uppercase(), path.clone(), said)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

/// A path with something in each of its places.
fn filled(path: &str) -> String {
    path.replace("{id}", NOBODY).replace("{name}", "nothing.js")
}

#[tokio::test]
async fn every_route_of_the_document_is_there_and_answers_as_it_says() {
    let place = Place::new();
    let server = place.serve().await;
    let document = server.get(DOCUMENT).await;
    assert_eq!((&document["info"]["version"], &document["openapi"]), (&json!(boocoder::VERSION), &json!("3.1.0")));
    let operations = operations(&document);
    assert!(operations.len() > 40, "{}", operations.len());
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (method, path, said) in operations {
        let asked = http.request(method.parse().unwrap(), format!("{}{}", server.info.url, filled(&path)));
        let body = if said["requestBody"].is_null() { "" } else { "{}" };
        let answer = asked.bearer_auth(&server.info.token).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        let code = serde_json::from_str::<Value>(&text).unwrap_or_default()["code"].clone();
        assert!(code != "not_found" && code != "method_not_allowed", "{method} {path} is not there: {text}");
        let said = &said["responses"][status.to_string()];
        assert!(!said.is_null(), "{method} {path} answered {status}, which is not in the document: {text}");
        if let Some(content) = said["content"].as_object() {
            let kind = kind.expect("a content type");
            let told = content.keys().any(|told| told == "*/*" || kind.starts_with(told.as_str()));
            assert!(told, "{method} {path} answered {status} with {kind}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn only_what_says_so_is_open() {
    let server = Memory::start().await;
    let document = server.get(DOCUMENT).await.json;
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["security"], json!([{"token": []}]));
    for (method, path, said) in operations(&document) {
        let bare = warp::test::request().method(&method).path(&filled(&path)).header("host", HOST);
        let status = server.answer(bare).await.status;
        let is_open = said["security"] == json!([]);
        assert_eq!(status != 401, is_open, "{method} {path}: {status}");
        assert_eq!(said["responses"]["401"].is_null(), is_open, "{method} {path}");
    }
}

#[tokio::test]
async fn names_are_there_once_and_references_lead_somewhere() {
    let server = Memory::start().await;
    let document = server.get(DOCUMENT).await.json;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.contains("#/components/schemas/NumberedFrame"), "{references:?}");
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(references.contains(&format!("#/components/schemas/{name}")), "nothing has a {name}");
    }
    // An optional one is this or null, and would be both if this took null too.
    let json = &document["components"]["schemas"]["Json"]["type"];
    assert_eq!(json, &json!(["object", "array", "string", "number", "boolean"]));
    let mut names = BTreeSet::new();
    for (method, path, said) in operations(&document) {
        assert!(names.insert(said["operationId"].to_string()), "{method} {path}: {}", said["operationId"]);
        let places = path.matches('{').count();
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let told = parameters.iter().filter(|told| told["in"] == "path").count();
        assert_eq!(told, places, "{method} {path}");
    }
}

/// What every `$ref` refers to.
fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_document_and_the_description_for_humans_have_the_same_routes() {
    let server = Memory::start().await;
    let document = server.get(DOCUMENT).await.json;
    let told: BTreeSet<String> =
        operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let written = routes_of(include_str!("../../../../docs/api.md"));
    let missing: Vec<_> = written.difference(&told).collect();
    let unwritten: Vec<_> = told.difference(&written).collect();
    assert!(missing.is_empty(), "docs/api.md has what the document lacks: {missing:?}");
    assert!(unwritten.is_empty(), "the document has what docs/api.md lacks: {unwritten:?}");
}

/// The routes that a text names in backquotes, as `METHOD /path`. After one, `/word` stands for it with another end.
fn routes_of(text: &str) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for line in text.lines() {
        let mut last: Option<(&str, String)> = None;
        for quoted in line.split('`').skip(1).step_by(2) {
            let mut words = quoted.split([' ', '[', '?']);
            let route = match (words.next(), words.next()) {
                (Some(method @ ("GET" | "POST" | "PATCH" | "PUT" | "DELETE")), Some(path)) => (method, path.to_owned()),
                (Some(end), None) if end.starts_with('/') => match &last {
                    Some((method, path)) => {
                        let (before, _) = path.rsplit_once('/').expect("a path");
                        (*method, format!("{before}{end}"))
                    }
                    None => continue,
                },
                _ => continue,
            };
            let path = route.1.replace("NAME", "{name}").replace(":id", "{id}");
            routes.insert(format!("{} {path}", route.0));
            last = Some(route);
        }
    }
    routes
}

#[test]
fn routes_are_found_in_a_text() {
    let text =
        "`GET /api/a/:id[?x=ID]` and `/b`\n`/c`, `POST /api/d {e}`, `DELETE` `GET /?token=T` `PATCH /assets/NAME`";
    let expected = ["GET /", "GET /api/a/b", "GET /api/a/{id}", "PATCH /assets/{name}", "POST /api/d"];
    assert_eq!(routes_of(text), expected.map(str::to_owned).into());
}
