// The yardstick of `npm run bench -- cache-archive`: GitLab Runner's own calls of fastzip, as a program.
package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/saracen/fastzip"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "create":
		level, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return create(args[1], args[2], level)
	case len(args) == 3 && args[0] == "extract":
		return extract(args[1], args[2])
	default:
		return fmt.Errorf("usage: reference create ARCHIVE DIRECTORY LEVEL | extract ARCHIVE DIRECTORY")
	}
}

func create(archive, directory string, level int) error {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	files := map[string]os.FileInfo{}
	err = filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files[path], err = entry.Info()
		return err
	})
	if err != nil {
		return err
	}
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer out.Close()
	// On the archive's own file system: moving what was staged elsewhere would cost more.
	options := []fastzip.ArchiverOption{fastzip.WithStageDirectory(filepath.Dir(archive))}
	if level == 0 {
		options = append(options, fastzip.WithArchiverMethod(zip.Store))
	}
	archiver, err := fastzip.NewArchiver(out, directory, options...)
	if err != nil {
		return err
	}
	if level > 0 {
		archiver.RegisterCompressor(zip.Deflate, fastzip.FlateCompressor(level))
	}
	if err := archiver.Archive(context.Background(), files); err != nil {
		return err
	}
	if err := archiver.Close(); err != nil {
		return err
	}
	return out.Close()
}

func extract(archive, directory string) error {
	extractor, err := fastzip.NewExtractor(archive, directory)
	if err != nil {
		return err
	}
	defer extractor.Close()
	return extractor.Extract(context.Background())
}
