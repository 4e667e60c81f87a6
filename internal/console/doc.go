// Package console is the web console: pages that the server renders, and a client of the public APIs with the person's own
// token. It imports no other room but a format, so it shows any OpenStack cloud as well as poise's own services.
//
// A request meets, in this order: the headers that keep a page to what it came with (console.go), the session and who is
// signed in (pages.go, session.go), a page's handler, the person's cloud (cloud.go), and a component that is rendered
// (*.templ). What an API refuses is a [fault], which a form shows at the field that it is about (form.go).
//
// Load balancers are read from a [watch], one for each project and region: it follows the cloud's stream of changes,
// fetches what changed once, and tells all open pages, each of which then fetches the parts that it shows (stream.go,
// static/console.js). Two hundred open pages cost nothing as long as nothing changes. What poise remembers of the past (series,
// events, the last checks of members) is asked for by the pages that show it, every ten seconds; a cloud that remembers nothing
// shows nothing of it (traffic.go, history.go).
//
// What a form asks for is an [order], which is carried out, or shown as an openstack command and as Terraform (order.go,
// copyas.go).
//
// # How to add a page
//
// A page is a file with a handler and a file with its looks: say, quotas.go and quotas.templ.
//
//  1. In quotas.go, a list of [page]s with method, pattern and handler, which stands in pages() as well. A handler is a method
//     of [view]; it opens the region with v.open, asks with cloud.call, [list] or [show], and ends with v.render.
//  2. In quotas.templ, a component in v.layout for a page, or in v.pane for what slides in from the right. The parts in
//     components.templ (fields, statuses, tables' links, empty places) are there to be used. Nothing carries style or
//     script: the pages' policy forbids both.
//  3. A form's fields have the names of the API's attributes. Its handler answers GET and POST: it reads v.form(), makes a
//     body, makes an order of it, answers v.isCopy with v.renderCopy, else carries it out by form.send, and ends with v.done,
//     or with v.renderForm when something was refused. Its component ends with copyAs.
//  4. A line in navigation (look.go) when it is to be found there, a box in creatables (create.go) when it makes something.
//     A part of the expanded row is a tab (balancers.templ); what is to be seen in a row's tab goes into that tab's
//     component.
//  5. What is to be looked at again when a load balancer changes is wrapped into live().
//  6. `make generate`, and a line in the tests' table of pages, which are looked at for what every page has to be.
package console
