//! The body of a batch send (`MessageDecoder.encodeMessages`): several messages of one topic and queue, which share the
//! header of the send.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::{self, BodyError, Cursor};
use super::{EditError, Properties};

/// Total size, magic, checksum, flag, body length, properties length.
const OVERHEAD: usize = 22;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// The item as it came.
    item: Bytes,
    flag: i32,
    body: Bytes,
    properties: Properties,
    is_changed: bool,
}

impl BatchItem {
    /// The items of `body`, which must be whole to its end.
    pub fn decode_all(body: &Bytes) -> Result<Vec<Self>, BodyError> {
        cursor::all(body, Self::decode)
    }

    /// The body that these items make.
    pub fn encode_all<'a>(items: impl IntoIterator<Item = &'a Self>) -> Result<Bytes, EditError> {
        let mut out = BytesMut::new();
        for item in items {
            item.encode_into(&mut out)?;
        }
        Ok(out.freeze())
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, BodyError> {
        let start = cursor.at();
        let total = cursor.word()?;
        // Magic and checksum: nobody fills them.
        cursor.long()?;
        let flag = cursor.word()?;
        let body = cursor.sized()?;
        let properties = Properties::from_bytes(&cursor.short_sized()?);
        let item = cursor.since(start);
        if usize::try_from(total) != Ok(item.len()) {
            return Err(BodyError {
                offset: start,
                what: "an item of a batch whose size is not that of its fields",
            });
        }
        Ok(Self {
            item,
            flag,
            body,
            properties,
            is_changed: false,
        })
    }

    /// Appends the item: its own bytes, or new ones with the lengths put right.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), EditError> {
        if !self.is_changed() {
            out.put_slice(&self.item);
            return Ok(());
        }
        let properties = self.properties.as_bytes();
        let total = [OVERHEAD, self.body.len(), properties.len()]
            .into_iter()
            .fold(0, usize::saturating_add);
        let too_long = || EditError::BodyTooLong {
            bytes: self.body.len(),
        };
        let total_word = i32::try_from(total).map_err(|_wide| too_long())?;
        out.reserve(total);
        out.put_i32(total_word);
        // Magic and checksum, which writers leave 0.
        out.put_i64(0);
        out.put_i32(self.flag);
        out.put_i32(i32::try_from(self.body.len()).map_err(|_wide| too_long())?);
        out.put_slice(&self.body);
        out.put_u16(u16::try_from(properties.len()).unwrap_or(u16::MAX));
        out.put_slice(properties);
        Ok(())
    }

    /// Whether anything was edited.
    pub fn is_changed(&self) -> bool {
        self.is_changed || self.properties.is_changed()
    }

    /// The producer's own bits.
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// Its properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Its properties, to be edited.
    pub fn properties_mut(&mut self) -> &mut Properties {
        &mut self.properties
    }

    /// The body as it travels.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Replaces the body as it travels.
    pub fn set_body(&mut self, body: Bytes) -> Result<(), EditError> {
        if i32::try_from(body.len()).is_err() {
            return Err(EditError::BodyTooLong { bytes: body.len() });
        }
        if body != self.body {
            self.body = body;
            self.is_changed = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(body: &[u8], properties: &[u8]) -> Vec<u8> {
        let total = [OVERHEAD, body.len(), properties.len()].iter().sum::<usize>();
        let mut out = Vec::new();
        out.put_i32(i32::try_from(total).unwrap());
        out.put_i64(0);
        out.put_i32(7);
        out.put_i32(i32::try_from(body.len()).unwrap());
        out.put_slice(body);
        out.put_i16(i16::try_from(properties.len()).unwrap());
        out.put_slice(properties);
        out
    }

    #[test]
    fn an_edited_item_leaves_the_others_their_bytes() {
        let body: Bytes = [item(b"one", b"a\x011\x02"), item(b"two", b"b\x012")]
            .concat()
            .into();
        let mut items = BatchItem::decode_all(&body).unwrap();
        assert_eq!(BatchItem::encode_all(&items).unwrap(), body);
        items[1].set_body(Bytes::from_static(b"longer")).unwrap();
        items[1].properties_mut().set("b", "3").unwrap();
        assert_eq!(items[1].flag(), 7);
        let wanted = [item(b"one", b"a\x011\x02"), item(b"longer", b"b\x013")].concat();
        assert_eq!(BatchItem::encode_all(&items).unwrap(), wanted);
    }

    #[test]
    fn a_body_that_is_cut_says_where() {
        let whole = item(b"one", b"");
        let body: Bytes = [whole.as_slice(), &whole[..10]].concat().into();
        let error = BatchItem::decode_all(&body).unwrap_err();
        assert_eq!(error.offset, whole.len() + 4);
        let mut wrong = whole;
        wrong[3] += 1;
        assert_eq!(BatchItem::decode_all(&wrong.into()).unwrap_err().offset, 0);
    }

    proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let body = Bytes::from(body);
            if let Ok(items) = BatchItem::decode_all(&body) {
                prop_assert_eq!(BatchItem::encode_all(&items).unwrap(), body);
            }
        }

        #[test]
        fn items_survive(
            messages in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..64), proptest::collection::vec(any::<u8>(), 0..64)), 0..8),
        ) {
            let body: Bytes = messages
                .iter()
                .flat_map(|(body, properties)| item(body, properties))
                .collect();
            let items = BatchItem::decode_all(&body).unwrap();
            prop_assert_eq!(items.len(), messages.len());
            prop_assert_eq!(BatchItem::encode_all(&items).unwrap(), body);
        }
    }
}
