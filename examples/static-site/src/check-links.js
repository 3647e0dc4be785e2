import { readNotes } from "./notes.js";

// Links between notes must lead somewhere. Links to other sites are not followed; exit code 42 says that there were some.
const NOT_EVERYTHING_CHECKED = 42;
const notes = await readNotes("notes");
const slugs = new Set(notes.map((note) => `${note.slug}.html`));
const links = notes.flatMap((note) => note.links.map((target) => ({ file: note.file, target })));
const broken = links.filter(({ target }) => !target.startsWith("https://") && !slugs.has(target));
const unchecked = links.filter(({ target }) => target.startsWith("https://"));

for (const { file, target } of broken) console.error(`${file}: ${target} leads nowhere`);
for (const { file, target } of unchecked) console.log(`${file}: ${target} was not checked`);
console.log(`${links.length} links: ${broken.length} broken, ${unchecked.length} not checked`);
process.exitCode = broken.length > 0 ? 1 : unchecked.length > 0 ? NOT_EVERYTHING_CHECKED : 0;
