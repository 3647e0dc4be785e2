import Mustache from "mustache";

const LAYOUT = `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><title>{{title}}</title></head>
  <body>{{{content}}}</body>
</html>
`;

const CONTENTS = `<h1>{{site}}</h1>
<ul>
{{#notes}}
  <li><time>{{date}}</time> <a href="{{slug}}.html">{{title}}</a></li>
{{/notes}}
</ul>`;

/** The page of one note. */
export function notePage(note) {
  return Mustache.render(LAYOUT, { title: note.title, content: note.html });
}

/** The page that lists all notes. */
export function contentsPage(site, notes) {
  return Mustache.render(LAYOUT, { title: site, content: Mustache.render(CONTENTS, { site, notes }) });
}
