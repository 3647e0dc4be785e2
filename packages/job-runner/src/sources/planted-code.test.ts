import { once } from "node:events";
import { appendFile, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRepository } from "../test-support/git-repository.ts";
import { openKeptCopy } from "../test-support/kept-copy.ts";
import type { KeptCopy } from "../test-support/kept-copy.ts";

const SHOW = "cat file group/sub/in.txt; git status --short; git -C group/sub status --short";

/** Says to a repository, in every way that git has, to run programs that leave a file in `$RAN`. */
function evil(repository: string): string {
  const programs = ["fsmonitor", "sshCommand", "askPass"].map((name) => `\\n\\t${name} = touch $RAN/${name}`);
  const filter = ["smudge", "process", "clean"].map((name) => `\\n\\t${name} = touch $RAN/${name}; cat`);
  const other = "[credential]\\n\\thelper = !touch $RAN/helper\\n[uploadpack]\\n\\tpackObjectsHook = touch $RAN/pack";
  const settings = `[core]${programs.join("")}\\n\\thooksPath = $RAN/../hooks\\n[filter "evil"]${filter.join("")}\\n${other}\\n`;
  return [
    `printf '${settings}' >> ${repository}/config`,
    `mkdir -p ${repository}/info ${repository}/hooks $RAN/../hooks`,
    `echo '* filter=evil' > ${repository}/info/attributes`,
    "for hook in post-checkout reference-transaction post-index-change pre-auto-gc",
    `do for folder in ${repository}/hooks $RAN/../hooks; do printf '#!/bin/sh\\ntouch $RAN/%s\\n' $hook > $folder/$hook; chmod +x $folder/$hook; done; done`,
    "rm -f .git/fleetfoot-fetched",
  ].join("; ");
}

const REPLACE = "git replace -f $(git rev-parse HEAD:file) $(echo evil | git hash-object -w --stdin); echo evil > file";
const MODULE = ".git/modules/group/sub";
const COPIED = `cp -r ${MODULE} $RAN/../copied; mv $RAN/../copied $TO; sed -i /worktree/d $TO/config`;

describe.each([
  { way: "by the runner's git", beside: false },
  { way: "in a helper image", beside: true },
])("what a job has said to git, where sources are fetched $way", ({ beside }) => {
  let copy: KeptCopy;
  let ran: string;
  beforeEach(async () => {
    copy = await openKeptCopy({ file: "content\n" });
    ran = join(copy.harness.root, "ran");
    await mkdir(ran);
    const inner = await createRepository(join(copy.harness.root, "inner"));
    await inner.commit({ "in.txt": "inner\n" });
    await copy.origin.git("submodule", "add", "--quiet", inner.url, "group/sub");
    await copy.update({});
  });
  afterEach(() => copy.dispose());

  const run = (lines: string): Promise<string> =>
    copy.run(lines, {
      beside,
      runner: { cleanGitConfig: true },
      variables: { GIT_SUBMODULE_STRATEGY: "recursive" },
    });

  it.each([
    { what: "in its settings", plant: evil(".git") },
    { what: "in the settings of a submodule", plant: evil(MODULE) },
    {
      what: "in the settings of a submodule that lies in another one by its name",
      plant: `cp .git/HEAD .git/modules/group; ${evil(MODULE)}`,
    },
    {
      what: "in settings of one working copy, for when these are switched on",
      plant: `mv .git/config .git/config.bak; ${evil(".git")}; mv .git/config .git/config.worktree; mv .git/config.bak .git/config`,
    },
    {
      what: "in a repository in the place of a submodule",
      plant: `rm group/sub/.git; ${COPIED}; ${evil("$TO")}`.replaceAll("$TO", "group/sub/.git"),
    },
    {
      what: "in a repository among the files of a submodule",
      plant: `mkdir group/sub/a; ${COPIED}; ${evil("$TO")}; echo gitdir: a/b > group/sub/.git`.replaceAll(
        "$TO",
        "group/sub/a/b",
      ),
    },
    {
      what: "in a repository outside that a submodule names",
      plant: `${COPIED}; ${evil("$TO")}; echo gitdir: $TO > group/sub/.git`.replaceAll("$TO", "$RAN/../other"),
    },
    {
      what: "in a repository that is hidden in that of a submodule",
      plant: `${COPIED}; ${evil("$TO")}; echo gitdir: ../../$TO > group/sub/.git`.replaceAll(
        "$TO",
        `${MODULE}/refs/other`,
      ),
    },
    {
      what: "in a folder that a link in the place of a submodule leads to",
      plant: `mkdir $RAN/../tree; ${COPIED}; ${evil("$TO")}; rm -rf group/sub; ln -s $RAN/../tree group/sub`.replaceAll(
        "$TO",
        "$RAN/../tree/.git",
      ),
    },
    {
      what: "in a folder that a link above a submodule leads to",
      plant: `mkdir -p $RAN/../tree/sub; ${COPIED}; ${evil("$TO")}; rm -rf group; ln -s $RAN/../tree group`.replaceAll(
        "$TO",
        "$RAN/../tree/sub/.git",
      ),
    },
    {
      what: "as the way to update a submodule",
      plant: `git config submodule.group/sub.update '!touch $RAN/update'; rm -rf group/sub ${MODULE}`,
    },
    {
      what: "as the address of a submodule",
      plant: `git config submodule.group/sub.url 'ext::touch $RAN/ext'; git config protocol.ext.allow always; rm -rf group/sub ${MODULE}`,
    },
    {
      what: "as its address, the old way",
      plant: `mkdir .git/remotes; echo 'URL: ext::touch $RAN/ext' > .git/remotes/origin; git config --remove-section remote.origin; rm -f .git/fleetfoot-fetched`,
    },
    { what: "about another object in the place of a file", plant: REPLACE },
    { what: "about another object, packed", plant: `${REPLACE}; git pack-refs --all` },
    { what: "about a file that has not changed", plant: "git update-index --assume-unchanged file; echo evil > file" },
    { what: "about a file that it leaves alone", plant: "git update-index --skip-worktree file; echo evil > file" },
    {
      what: "about a file that it leaves alone, in an index of parts",
      plant: "git update-index --skip-worktree file; git update-index --split-index; echo evil > file",
    },
    {
      what: "about how files are written",
      plant: "mkdir -p .git/info; echo '* working-tree-encoding=UTF-16' > .git/info/attributes; echo evil > file",
    },
    {
      what: "about how files are written, beside them",
      plant: "echo '* working-tree-encoding=UTF-16' > .gitattributes; rm file",
    },
    {
      what: "about how files are written, in an index of parts and beside them",
      plant: "echo '* text eol=crlf' > .gitattributes; git update-index --split-index; rm file",
    },
    {
      what: "about where objects are",
      plant:
        "mkdir $RAN/../objects; mv .git/objects/* $RAN/../objects; mkdir .git/objects/info; echo $RAN/../objects > .git/objects/info/alternates",
    },
    {
      what: "by a pipe in the place of an object",
      plant: `object=.git/objects/$(git rev-parse HEAD:file | sed 's,^..,&/,'); rm -f $object; mkfifo $object; rm file`,
    },
    {
      what: "by the lock of its packed references",
      plant:
        "git update-ref refs/remotes/origin/gone HEAD; git pack-refs --all; touch .git/packed-refs.lock; rm -f .git/fleetfoot-fetched",
    },
  ])("neither runs nor changes anything in the next one: $what", async ({ plant }) => {
    await run(SHOW);
    await run(`${plant.replaceAll("$RAN", ran)}; rm -f ${ran}/*`);
    const log = await run(SHOW);
    expect(await readdir(ran)).toEqual([]);
    expect(log).toContain(`$ ${SHOW}\ncontent\ninner\nsection_end`);
  });

  it.each([
    { what: "for another version of the index", settings: "[feature]\n\tmanyFiles = true\n" },
    { what: "for an index of parts", settings: "[core]\n\tsplitIndex = true\n" },
  ])("does not make it check out everything where the host's own settings ask $what", async ({ settings }) => {
    await appendFile(join(copy.harness.root, ".gitconfig"), settings);
    const write = "git update-index --force-write-index; git -C group/sub update-index --force-write-index";
    const show = `${write}; stat -c 'written %y' file group/sub/in.txt`;
    const written = async (): Promise<readonly string[]> => (await run(show)).match(/^written .*$/gm) ?? [];
    const first = await written();
    expect([first.length, await written()]).toEqual([2, first]);
  });

  it.each(["tr", "ko"])(
    "changes nothing by attributes beside files where git speaks another language (%s)",
    async (language) => {
      const inLanguage = (lines: string): Promise<string> =>
        copy.run(lines, { beside, variables: { LANG: "C.UTF-8", LANGUAGE: language } });
      await inLanguage("echo '* working-tree-encoding=UTF-16' > .gitattributes; rm file");
      expect(await inLanguage("cat file")).toContain("$ cat file\ncontent\n");
    },
  );

  it("does not count as planted where it is the socket of git's own file system monitor", async () => {
    await run(SHOW);
    const monitor = createServer();
    // Its path has to be short.
    const link = join(await mkdtemp(join(tmpdir(), "monitor-")), "git");
    await symlink(join(copy.project, ".git"), link);
    await once(monitor.listen(join(link, "fsmonitor--daemon.ipc")), "listening");
    expect(await run(SHOW)).not.toContain("made anew");
    monitor.close();
    await rm(dirname(link), { recursive: true });
  });

  it("does not blame a job for objects elsewhere, which somebody else may have named, and says what to do instead", async () => {
    await run(`echo ${join(copy.origin.directory, ".git/objects")} > .git/objects/info/alternates`);
    const log = await run(SHOW);
    expect(log).toMatch(/uses the objects of another one .*It will be made anew.* GIT_ALTERNATE_OBJECT_DIRECTORIES/);
    expect(log).not.toContain("A job has put");
  });

  it("neither runs nor changes anything in one that leaves submodules alone", async () => {
    await run(SHOW);
    const plant = `rm group/sub/.git; ${COPIED}; ${evil("$TO")}; rm -f $RAN/*`;
    await run(plant.replaceAll("$TO", "group/sub/.git").replaceAll("$RAN", ran));
    await copy.run("cat file; git status", { beside, runner: { cleanGitConfig: true } });
    expect(await readdir(ran)).toEqual([]);
  });
});

it("objects that the runner lends to all jobs are not fetched, and nothing is made anew for them", async () => {
  const copy = await openKeptCopy({ file: "content\n" });
  try {
    const objects = join(copy.origin.directory, ".git/objects");
    const runner = { cleanGitConfig: true, environment: [`GIT_ALTERNATE_OBJECT_DIRECTORIES=${objects}`] };
    const count = "git count-objects -v | grep -E '^(count|in-pack):'";
    for (const _ of ["first", "next"]) {
      const log = await copy.run(count, { runner });
      expect(log).toContain("\ncount: 0\nin-pack: 0\n");
      expect(log).not.toContain("made anew");
    }
  } finally {
    await copy.dispose();
  }
});
