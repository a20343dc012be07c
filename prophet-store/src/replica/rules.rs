//! Rules for the records of a type: defaults, canonical forms, validation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Problem};
use crate::name::{NameError, PropertyName, RecordKey};
use crate::record::Existence;
use crate::replica::pending::Pending;
use crate::replica::{Inner, Record};
use crate::value::Value;

type Default = Arc<dyn Fn() -> Value + Send + Sync>;
type Canonicalize = Arc<dyn Fn(&Value) -> Value + Send + Sync>;
type Validate = Arc<dyn Fn(Option<&Value>) -> Result<(), String> + Send + Sync>;
type ValidateRecord = Arc<dyn Fn(&Record) -> Vec<String> + Send + Sync>;

/// Rules for the records of one type. They apply in this order when an edit ends: defaults to
/// what is created, canonical forms to what was set, validation to what was written; all that is
/// wrong is reported at once, and then nothing is written.
///
/// ```
/// use futures_lite::future::block_on;
/// use prophet_store::{
///     Identity, MemoryStore, Properties, RecordRules, Replica, Value,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rules = RecordRules::new()
///     .default("status", || Value::from("new"))?
///     .canonicalize("email", |value| match value {
///         Value::Text(text) => Value::from(text.to_lowercase()),
///         other => other.clone(),
///     })?
///     .validate("name", |value| match value {
///         Some(Value::Text(name)) if !name.is_empty() => Ok(()),
///         _ => Err("is needed".to_owned()),
///     })?;
/// block_on(async {
///     let store = MemoryStore::new(Identity::new_database()?);
///     let replica = Replica::options().rules("person", rules)?.open(store).await?;
///     let refused = replica.create("person", Properties::new()).await;
///     assert!(refused.is_err_and(|error| error.to_string().contains("is needed")));
///     let ada = Properties::try_from([
///         ("name", Value::from("Ada")),
///         ("email", Value::from("Ada@Example.org")),
///     ])?;
///     let ada = replica.get(&replica.create("person", ada).await?).await?.ok_or("created")?;
///     assert_eq!(ada.get("email"), Some(&Value::from("ada@example.org")));
///     assert_eq!(ada.get("status"), Some(&Value::from("new")));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Default)]
pub struct RecordRules {
    defaults: BTreeMap<PropertyName, Default>,
    canonicalizers: BTreeMap<PropertyName, Canonicalize>,
    validators: Vec<(PropertyName, Validate)>,
    record_validators: Vec<ValidateRecord>,
}

impl fmt::Debug for RecordRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRules")
            .field("defaults", &self.defaults.keys())
            .field("canonicalizers", &self.canonicalizers.keys())
            .finish_non_exhaustive()
    }
}

impl RecordRules {
    /// No rules.
    pub fn new() -> Self {
        <Self as std::default::Default>::default()
    }

    /// What a property is in a record created without it.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn default<N>(
        mut self,
        name: N,
        value: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.defaults.insert(name.try_into().map_err(Into::into)?, Arc::new(value));
        Ok(self)
    }

    /// The canonical form of a property, in place of what it is set to.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn canonicalize<N>(
        mut self,
        name: N,
        form: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.canonicalizers.insert(name.try_into().map_err(Into::into)?, Arc::new(form));
        Ok(self)
    }

    /// What must hold of a property, `None` if the record does not have it, or else what is wrong
    /// with it. One property can have several of these.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn validate<N>(
        mut self,
        name: N,
        check: impl Fn(Option<&Value>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.validators.push((name.try_into().map_err(Into::into)?, Arc::new(check)));
        Ok(self)
    }

    /// What must hold of a record as a whole: all that is wrong with it.
    #[must_use]
    pub fn validate_record(
        mut self,
        check: impl Fn(&Record) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.record_validators.push(Arc::new(check));
        self
    }

    fn prepare(&self, pending: &mut Pending) {
        if pending.is_created() {
            for (name, value) in &self.defaults {
                if pending.get(name).is_none() {
                    pending.replace(name, value());
                }
            }
        }
        for (name, form) in &self.canonicalizers {
            // A property that the edit did not touch stays as it came, from wherever it came.
            if pending.is_named(name)
                && let Some(value) = pending.get(name)
            {
                let canonical = form(value);
                pending.replace(name, canonical);
            }
        }
    }

    fn problems(&self, key: &RecordKey, pending: &Pending) -> Vec<Problem> {
        let of_properties = self.validators.iter().filter_map(|(name, check)| {
            let message = check(pending.get(name)).err()?;
            Some(Problem { record: key.clone(), property: Some(name.clone()), message })
        });
        let record = Record::new(key.clone(), pending.before().changed(), pending.properties());
        let of_record = self.record_validators.iter().flat_map(|check| check(&record));
        let of_record =
            of_record.map(|message| Problem { record: key.clone(), property: None, message });
        of_properties.chain(of_record).collect()
    }
}

impl Inner {
    /// Applies the rules to every record that is written and will exist.
    pub(super) fn apply_rules(
        &self,
        pending: &mut BTreeMap<RecordKey, Pending>,
    ) -> Result<(), Error> {
        let mut problems = Vec::new();
        for (key, pending) in pending {
            let Some(rules) = self.rules.get(key.record_type()) else { continue };
            if pending.existence() != Existence::Alive {
                continue;
            }
            rules.prepare(pending);
            if pending.change().is_some() {
                problems.extend(rules.problems(key, pending));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Rejected(problems)) }
    }
}
