//! Examples of bodies and answers, by schema: `examples.json`. A test sends each and looks at what is answered.

use serde_json::{Map, Value, json};

/// Examples by the name of their schema.
pub(super) struct Examples(Map<String, Value>);

impl Examples {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// When they are no JSON object.
    pub(super) fn read() -> Result<Self, serde_json::Error> {
        serde_json::from_str(include_str!("examples.json")).map(Self)
    }

    /// Adds its example to the content of a body or an answer, where it has none.
    pub(super) fn give(&self, content: &mut Value) {
        if content.get("example").is_some() || content.get("examples").is_some() {
            return;
        }
        if let Some(example) = self.of(&content["schema"]) {
            content["example"] = example;
        }
    }

    /// An example of a schema that has a name, of a list of such, or of one that may be left out.
    fn of(&self, schema: &Value) -> Option<Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next()?;
            return self.0.get(name).cloned();
        }
        if schema["type"] == "array" {
            return self.of(&schema["items"]).map(|one| json!([one]));
        }
        let choices = schema["oneOf"].as_array()?;
        choices.iter().find_map(|choice| self.of(choice))
    }
}
