//! The netlink functions as TypeScript calls them; see `native.ts`.

use super::{addresses, links, routes, rules};
use crate::boundary::{Errno, guard, guard_errno, integer, unsigned};
use napi_derive::napi;

const TABLE_MAIN: u32 = 254;

#[napi(object)]
pub struct LinkEntry {
    pub index: u32,
    pub name: String,
    pub kind: String,
    pub master: u32,
    pub mtu: u32,
    pub is_up: bool,
    pub has_carrier: bool,
    pub mac: String,
    pub alias: String,
}

#[napi(object)]
pub struct LinksResult {
    pub errno: i32,
    pub links: Vec<LinkEntry>,
}

#[napi(object)]
pub struct IndexResult {
    pub errno: i32,
    pub index: u32,
}

#[napi(object)]
pub struct LinkChange {
    pub index: f64,
    pub is_up: Option<bool>,
    pub mtu: Option<f64>,
    pub master: Option<f64>,
    pub mac: Option<String>,
    pub alias: Option<String>,
}

#[napi(object)]
pub struct AddressEntry {
    pub index: f64,
    pub address: String,
    pub prefix_bits: f64,
    /// 4 or 6; not read in a request.
    pub family: Option<i32>,
}

#[napi(object)]
pub struct AddressesResult {
    pub errno: i32,
    pub addresses: Vec<AddressEntry>,
}

#[napi(object)]
pub struct RouteEntry {
    pub destination: String,
    pub prefix_bits: f64,
    /// 4 or 6; not read in a request.
    pub family: Option<i32>,
    pub index: f64,
    pub gateway: Option<String>,
    pub table: Option<f64>,
    pub metric: Option<f64>,
    pub protocol: f64,
}

#[napi(object)]
pub struct RoutesResult {
    pub errno: i32,
    pub routes: Vec<RouteEntry>,
}

#[napi(object)]
pub struct RuleEntry {
    /// 4 or 6.
    pub family: i32,
    pub priority: f64,
    pub table: f64,
    pub source: Option<String>,
    pub interface: Option<String>,
    pub suppress_bits: Option<f64>,
}

#[napi(object)]
pub struct RulesResult {
    pub errno: i32,
    pub rules: Vec<RuleEntry>,
}

fn family(address: &str) -> Option<i32> {
    Some(if address.contains(':') { 6 } else { 4 })
}

/// A list or its errno.
fn listed<T, E: From<T>>(list: fn() -> Result<Vec<T>, Errno>) -> (i32, Vec<E>) {
    match guard(list) {
        Ok(entries) => (0, entries.into_iter().map(E::from).collect()),
        Err(errno) => (errno, Vec::new()),
    }
}

impl From<links::Link> for LinkEntry {
    fn from(link: links::Link) -> Self {
        Self {
            index: link.index,
            name: link.name,
            kind: link.kind,
            master: link.master,
            mtu: link.mtu,
            is_up: link.is_up,
            has_carrier: link.has_carrier,
            mac: link.mac,
            alias: link.alias,
        }
    }
}

impl From<addresses::Address> for AddressEntry {
    fn from(entry: addresses::Address) -> Self {
        Self {
            index: entry.index.into(),
            prefix_bits: entry.prefix_bits.into(),
            family: family(&entry.address),
            address: entry.address,
        }
    }
}

impl From<routes::Route> for RouteEntry {
    fn from(route: routes::Route) -> Self {
        Self {
            prefix_bits: route.prefix_bits.into(),
            family: family(&route.destination),
            destination: route.destination,
            index: route.index.into(),
            gateway: route.gateway,
            table: Some(route.table.into()),
            metric: Some(route.metric.into()),
            protocol: route.protocol.into(),
        }
    }
}

impl From<rules::Rule> for RuleEntry {
    fn from(rule: rules::Rule) -> Self {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            family: if rule.is_v6 { 6 } else { 4 },
            priority: rule.priority.into(),
            table: rule.table.into(),
            source: text(rule.source),
            interface: text(rule.interface),
            suppress_bits: rule.suppress_bits.map(f64::from),
        }
    }
}

#[napi]
pub fn links() -> LinksResult {
    let (errno, links) = listed(links::list);
    LinksResult { errno, links }
}

#[napi]
pub fn link_add(name: String, kind: String) -> IndexResult {
    match guard(|| links::add(&name, &kind)) {
        Ok(index) => IndexResult { errno: 0, index },
        Err(errno) => IndexResult { errno, index: 0 },
    }
}

#[napi]
pub fn link_delete(index: f64) -> i32 {
    guard_errno(|| links::delete(unsigned(index)?))
}

#[napi]
pub fn link_set(change: LinkChange) -> i32 {
    guard_errno(|| {
        links::set(&links::Change {
            index: unsigned(change.index)?,
            is_up: change.is_up,
            mtu: change.mtu.map(unsigned).transpose()?,
            master: change.master.map(unsigned).transpose()?,
            mac: change.mac,
            alias: change.alias,
        })
    })
}

#[napi]
pub fn addresses() -> AddressesResult {
    let (errno, addresses) = listed(addresses::list);
    AddressesResult { errno, addresses }
}

fn address_of(entry: AddressEntry) -> Result<addresses::Address, Errno> {
    Ok(addresses::Address {
        index: unsigned(entry.index)?,
        address: entry.address,
        prefix_bits: integer(entry.prefix_bits)?,
    })
}

#[napi]
pub fn address_add(entry: AddressEntry) -> i32 {
    guard_errno(|| addresses::add(&address_of(entry)?))
}

#[napi]
pub fn address_delete(entry: AddressEntry) -> i32 {
    guard_errno(|| addresses::delete(&address_of(entry)?))
}

#[napi]
pub fn routes() -> RoutesResult {
    let (errno, routes) = listed(routes::list);
    RoutesResult { errno, routes }
}

fn route_of(entry: RouteEntry) -> Result<routes::Route, Errno> {
    Ok(routes::Route {
        destination: entry.destination,
        prefix_bits: integer(entry.prefix_bits)?,
        index: unsigned(entry.index)?,
        gateway: entry.gateway,
        table: entry.table.map_or(Ok(TABLE_MAIN), unsigned)?,
        metric: entry.metric.map_or(Ok(0), unsigned)?,
        protocol: u8::try_from(unsigned(entry.protocol)?).map_err(|_| libc::EINVAL)?,
    })
}

#[napi]
pub fn route_add(entry: RouteEntry) -> i32 {
    guard_errno(|| routes::add(&route_of(entry)?))
}

#[napi]
pub fn route_delete(entry: RouteEntry) -> i32 {
    guard_errno(|| routes::delete(&route_of(entry)?))
}

#[napi]
pub fn rules() -> RulesResult {
    let (errno, rules) = listed(rules::list);
    RulesResult { errno, rules }
}

fn rule_of(entry: RuleEntry) -> Result<rules::Rule, Errno> {
    Ok(rules::Rule {
        is_v6: entry.family == 6,
        priority: unsigned(entry.priority)?,
        table: unsigned(entry.table)?,
        source: entry.source.unwrap_or_default(),
        interface: entry.interface.unwrap_or_default(),
        suppress_bits: entry.suppress_bits.map(unsigned).transpose()?,
    })
}

#[napi]
pub fn rule_add(entry: RuleEntry) -> i32 {
    guard_errno(|| rules::add(&rule_of(entry)?))
}

#[napi]
pub fn rule_delete(entry: RuleEntry) -> i32 {
    guard_errno(|| rules::delete(&rule_of(entry)?))
}
