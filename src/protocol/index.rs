//! Where the ext fields of a header stand, found once.

use std::borrow::Cow;
use std::ops::Range;

use super::head::{Fields, Value, Written};
use super::scan::Raw;

/// Fields that most headers have at most.
const USUAL: usize = 16;

/// Where the ext fields of one frame stand, for those who look up several.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// None when a name is written so that it must be decoded, which nobody does.
    places: Option<Vec<Place>>,
}

/// Where one field stands in the text of all of them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    name: Range<usize>,
    value: Range<usize>,
    form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json { is_escaped: bool },
    Binary,
}

impl Index {
    pub(super) fn of(text: &[u8], fields: &Fields<'_>) -> Self {
        let mut places = Some(Vec::with_capacity(USUAL));
        fields.walk(&mut |name, value| {
            let place = match name {
                Cow::Borrowed(name) => Some(Place::of(text, name, value)),
                Cow::Owned(_decoded) => None,
            };
            match (&mut places, place) {
                (Some(places), Some(place)) => places.push(place),
                (places, _) => *places = None,
            }
        });
        Self { places }
    }

    pub(super) fn places(&self) -> Option<&[Place]> {
        self.places.as_deref()
    }
}

impl Place {
    fn of(text: &[u8], name: &[u8], value: Value<'_>) -> Self {
        let (value, form) = match value.0 {
            Written::Json(raw) => {
                let is_escaped = raw.is_escaped;
                (raw.text, Form::Json { is_escaped })
            }
            Written::Binary(value) => (value, Form::Binary),
        };
        Self {
            name: within(text, name),
            value: within(text, value),
            form,
        }
    }

    fn value<'a>(&self, text: &'a [u8]) -> Option<Value<'a>> {
        let at = self.value.start;
        let text = text.get(self.value.clone())?;
        Some(Value(match self.form {
            Form::Json { is_escaped } => Written::Json(Raw { text, at, is_escaped }),
            Form::Binary => Written::Binary(text),
        }))
    }
}

/// Where a part of `text` stands in it.
pub(super) fn within(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.len())
}

/// Every field, in order.
pub(super) fn each<'a>(places: &[Place], text: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
    let name = |place: &Place| text.get(place.name.clone());
    places
        .iter()
        .filter_map(move |place| Some((name(place)?, place.value(text)?)))
}

/// The last field of this name.
pub(super) fn last<'a>(places: &[Place], text: &'a [u8], name: &str) -> Option<Value<'a>> {
    let is_it = |place: &&Place| text.get(place.name.clone()) == Some(name.as_bytes());
    places.iter().rev().find(is_it)?.value(text)
}
