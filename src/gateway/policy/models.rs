//! Which models a caller may name.

use crate::address::{ModelName, ModelSource};
use crate::gateway::model_access::ModelAccess;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::keyspec::CanonicalModel;

/// Makes sure that a name refers to a model that the caller may use.
///
/// # Errors
/// 403 that names it.
pub fn require_model(models: &ModelAccess, name: &str) -> Result<(), Rejection> {
    let permitted = CanonicalModel::parse(name).is_ok_and(|model| models.admit(model));
    if permitted {
        return Ok(());
    }
    // What was sent may be long and odd; it is repeated as JSON text, shortened.
    let shown: String = name.chars().take(100).collect();
    Err(Rejection::new(403, format!("this credential may not use the model {shown:?}")).because(RefusalCode::Model))
}

/// The name without spaces around it and without `:local`, which servers read differently by their age.
pub fn sendable(name: &str) -> String {
    match ModelName::parse(name) {
        Ok(name) if name.source() == Some(ModelSource::Local) => name.base().to_owned(),
        Ok(name) => name.as_str().to_owned(),
        Err(_) => name.trim().to_owned(),
    }
}
