//! A lazy view of an object's tree as CEL values.
//!
//! Scalars become the interpreter's own; lists and maps become a [`Tree`], which borrows and converts only what is asked
//! of it. A map yields its keys in their order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{Adder, Container, Indexer, Iterable, Iterator, Sizer, Zeroer};
use cel::common::types::{self, CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};

use super::super::node::Node;
use super::functions;

/// A list or map of the object.
pub(super) struct Tree<'a> {
    node: &'a Node<'a>,
    /// The elements, or the keys, as the interpreter iterates over them: it only takes values that are kept somewhere.
    items: OnceLock<Vec<Box<dyn Val + 'a>>>,
}

/// A tree as a CEL value.
pub(super) fn boxed<'a>(node: &'a Node<'a>) -> Box<dyn Val + 'a> {
    match node {
        Node::Null => Box::new(CelNull),
        Node::Bool(value) => Box::new(CelBool::from(*value)),
        Node::Int(value) => Box::new(CelInt::from(*value)),
        Node::UInt(value) => Box::new(CelUInt::from(*value)),
        Node::Float(value) => Box::new(CelDouble::from(*value)),
        Node::String(text) => Box::new(CelString::from(text.as_ref())),
        Node::Array(_) | Node::Object(_) => Box::new(Tree { node, items: OnceLock::new() }),
    }
}

impl<'a> Tree<'a> {
    fn items(&self) -> &[Box<dyn Val + 'a>] {
        self.items.get_or_init(|| match self.node {
            Node::Array(items) => items.iter().map(boxed).collect(),
            Node::Object(members) => {
                members.iter().map(|(key, _)| Box::new(CelString::from(key)) as Box<dyn Val>).collect()
            }
            _ => Vec::new(),
        })
    }

    fn len(&self) -> usize {
        match self.node {
            Node::Array(items) => items.len(),
            Node::Object(members) => members.len(),
            _ => 0,
        }
    }

    fn is_list(&self) -> bool {
        matches!(self.node, Node::Array(_))
    }

    /// The value at `index`: an outer `None` if a value of this type can't be one.
    fn find(&self, index: &dyn Val) -> Option<Option<&'a Node<'a>>> {
        if self.is_list() {
            let Node::Array(items) = self.node else { return None };
            return Some(position(index)?.and_then(|position| items.get(position)));
        }
        if let Some(key) = index.downcast_ref::<CelString<'_>>() {
            return Some(self.node.get(key.inner()));
        }
        // The keys of JSON are texts: no other key is found, but those that a map could have are not an error.
        functions::is_key(index).then_some(None)
    }
}

/// The position in a list that `index` means; an outer `None` if it means none whatever the list.
fn position(index: &dyn Val) -> Option<Option<usize>> {
    if let Some(index) = index.downcast_ref::<CelInt>() {
        return Some(usize::try_from(*index.inner()).ok());
    }
    if let Some(index) = index.downcast_ref::<CelUInt>() {
        return Some(usize::try_from(*index.inner()).ok());
    }
    // A whole double is a position too. Far more elements than any list has are left to be out of bounds.
    let index = *index.downcast_ref::<CelDouble>()?.inner();
    if index.fract() != 0.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A whole number in the range of u32.
    Some((0.0..=f64::from(u32::MAX)).contains(&index).then_some(index as usize))
}

/// Never shows content.
impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl<'a> Val for Tree<'a> {
    fn get_type(&self) -> &Type {
        if self.is_list() { &types::LIST_TYPE } else { &types::MAP_TYPE }
    }

    fn cel_type() -> &'static Type {
        &types::DYN_TYPE
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        if self.is_list() { Some(self) } else { None }
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        functions::equal(self, other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        boxed(self.node)
    }
}

impl Adder for Tree<'_> {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let overload = || functions::no_overload(cel::common::ast::operators::ADD, [self, rhs]);
        let right = rhs.as_iterable().filter(|_| rhs.get_type() == &types::LIST_TYPE).ok_or_else(overload)?;
        let mut sum: Vec<Box<dyn Val + 'v>> = self.items().iter().map(|item| item.clone_as_boxed()).collect();
        let mut right = right.iter();
        while let Some(item) = right.next() {
            sum.push(item.clone_as_boxed());
        }
        Ok(CowVal::owned(CelList::from(sum)))
    }
}

impl Container for Tree<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        if self.is_list() {
            return Ok(self.items().iter().any(|item| functions::equal(item.as_ref(), value)));
        }
        match self.find(value) {
            Some(found) => Ok(found.is_some()),
            None => Err(functions::no_overload(cel::common::ast::operators::IN, [value, self])),
        }
    }
}

impl<'a> Indexer for Tree<'a> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match self.find(index) {
            Some(Some(node)) => Ok(CowVal::Owned(boxed(node))),
            Some(None) if self.is_list() => Err(ExecutionError::IndexOutOfBounds(cel::Value::Null)),
            Some(None) => Err(match index.downcast_ref::<CelString<'_>>() {
                Some(key) => ExecutionError::no_such_key(key.inner()),
                None => ExecutionError::no_such_key(""),
            }),
            None => Err(functions::no_overload(cel::common::ast::operators::INDEX, [self, index])),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl<'a> Iterable for Tree<'a> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Items(self.items().iter()))
    }
}

struct Items<'b, 'a>(std::slice::Iter<'b, Box<dyn Val + 'a>>);

impl<'b, 'a: 'v, 'v> Iterator<'b, 'v> for Items<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|item| item.as_ref() as &'b (dyn Val + 'v))
    }
}

impl Sizer for Tree<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }
}

impl Zeroer for Tree<'_> {
    fn is_zero_value(&self) -> bool {
        self.len().cmp(&0) == Ordering::Equal
    }
}
