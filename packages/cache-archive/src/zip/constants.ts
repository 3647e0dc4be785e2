/*
 * Numbers of the zip format.
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

export const LOCAL_HEADER_SIGNATURE = 0x04034b50;
export const LOCAL_HEADER_LENGTH = 30;
export const DESCRIPTOR_SIGNATURE = 0x08074b50;
export const CENTRAL_HEADER_SIGNATURE = 0x02014b50;
export const CENTRAL_HEADER_LENGTH = 46;
export const END_SIGNATURE = 0x06054b50;
export const END_LENGTH = 22;
export const ZIP64_END_SIGNATURE = 0x06064b50;
export const ZIP64_END_LENGTH = 56;
export const ZIP64_LOCATOR_SIGNATURE = 0x07064b50;
export const ZIP64_LOCATOR_LENGTH = 20;

/** A 32-bit field of this value means: look into the zip64 extra field. */
export const MAX_32 = 0xffff_ffff;
export const MAX_16 = 0xffff;

export const METHOD_STORED = 0;
export const METHOD_DEFLATE = 8;
export const METHOD_ZSTD = 93;

export const FLAG_ENCRYPTED = 0x0001;
export const FLAG_DESCRIPTOR = 0x0008;
export const FLAG_UTF8 = 0x0800;

export const EXTRA_ZIP64 = 0x0001;
/** Extended timestamp, Info-ZIP. */
export const EXTRA_TIMESTAMP = 0x5455;
/** Unix owner, Info-ZIP "new" form. */
export const EXTRA_OWNER = 0x7875;

/** Ours, not registered: the blocks of a long entry. */
export const EXTRA_BLOCKS = 0xf1ee;

export const TYPE_MASK = 0o170000;
export const TYPE_FILE = 0o100000;
export const TYPE_DIRECTORY = 0o040000;
export const TYPE_SYMLINK = 0o120000;
