//! The OpenAPI document as a list of operations, for tests that hold for all of them.

use reprise_testkit::http::{Client, Method};
use serde_json::Value;

/// One operation of the API.
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with names of ids in braces.
    pub path: String,
    /// What the document says of it.
    pub described: Value,
}

/// All operations, as the API tells them.
pub async fn operations(client: &Client) -> Vec<Operation> {
    let document = client.get("/openapi.json").await.expect_status(200).json();
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, operations): (&String, &Value)| {
        let operations = operations.as_object().expect("operations").clone();
        let path = path.clone();
        operations
            .into_iter()
            .map(move |(method, described)| Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                described,
            })
    };
    let operations: Vec<Operation> = paths.iter().flat_map(of_path).collect();
    assert!(operations.len() > 30, "the document has all of them");
    operations
}

impl Operation {
    /// What it is called in the messages of a test.
    pub fn called(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The scope that it asks for; none where it needs no credentials.
    pub fn scope(&self) -> Option<&str> {
        self.described["security"][0]["OAuth2PasswordBearer"][0].as_str()
    }

    /// Its path with ids filled in.
    pub fn fill(&self, ids: &[(&str, &str)]) -> String {
        let mut filled = self.path.clone();
        for (name, id) in ids {
            filled = filled.replace(&format!("{{{name}}}"), id);
        }
        assert!(
            !filled.contains('{'),
            "{} has an id that this test does not know",
            self.path
        );
        filled
    }

    /// Its path with the same id everywhere.
    pub fn fill_all(&self, id: &str) -> String {
        let names = [
            "endpoint_id",
            "delivery_id",
            "hook_id",
            "request_id",
            "event_id",
            "api_key_id",
        ];
        self.fill(&names.map(|name| (name, id)))
    }
}
