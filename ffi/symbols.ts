/**
 * The C functions used, each with its prototype. All take scalars and pointers only: no struct by
 * value, no variable arguments but those of open and fcntl, which register-passing ABIs (x86_64 and
 * arm64 Linux) treat alike.
 *
 * libbpf 1.x: functions that return int give a negative errno; those that return a pointer give
 * NULL, and libbpf_get_error(NULL) at once after tells the errno.
 */

export const LIBBPF_SYMBOLS = {
  // __u32 libbpf_major_version(void)
  libbpf_major_version: { parameters: [], result: "u32" },
  // const char *libbpf_version_string(void)
  libbpf_version_string: { parameters: [], result: "pointer" },
  // libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t fn)
  libbpf_set_print: { parameters: ["function"], result: "pointer" },
  // long libbpf_get_error(const void *ptr)
  libbpf_get_error: { parameters: ["pointer"], result: "isize" },
  // int libbpf_num_possible_cpus(void)
  libbpf_num_possible_cpus: { parameters: [], result: "i32" },
  // int libbpf_probe_bpf_prog_type(enum bpf_prog_type prog_type, const void *opts)
  libbpf_probe_bpf_prog_type: { parameters: ["i32", "pointer"], result: "i32" },
  // int libbpf_probe_bpf_map_type(enum bpf_map_type map_type, const void *opts)
  libbpf_probe_bpf_map_type: { parameters: ["i32", "pointer"], result: "i32" },
  // int libbpf_probe_bpf_helper(enum bpf_prog_type, enum bpf_func_id helper_id, const void *opts)
  libbpf_probe_bpf_helper: { parameters: ["i32", "i32", "pointer"], result: "i32" },

  // struct bpf_object *bpf_object__open_mem(const void *obj_buf, size_t obj_buf_sz,
  //                                         const struct bpf_object_open_opts *opts)
  bpf_object__open_mem: { parameters: ["buffer", "usize", "buffer"], result: "pointer" },
  // int bpf_object__load(struct bpf_object *obj): off the event loop, it takes up to 300 ms
  bpf_object__load: { parameters: ["pointer"], result: "i32", nonblocking: true },
  // void bpf_object__close(struct bpf_object *object)
  bpf_object__close: { parameters: ["pointer"], result: "void" },
  // struct bpf_program *bpf_object__next_program(const struct bpf_object *, struct bpf_program *)
  bpf_object__next_program: { parameters: ["pointer", "pointer"], result: "pointer" },
  // struct bpf_map *bpf_object__next_map(const struct bpf_object *, const struct bpf_map *)
  bpf_object__next_map: { parameters: ["pointer", "pointer"], result: "pointer" },
  // struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *, const char *)
  bpf_object__find_program_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },
  // struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *, const char *name)
  bpf_object__find_map_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },

  // const char *bpf_program__name(const struct bpf_program *prog)
  bpf_program__name: { parameters: ["pointer"], result: "pointer" },
  // int bpf_program__fd(const struct bpf_program *prog)
  bpf_program__fd: { parameters: ["pointer"], result: "i32" },
  // int bpf_program__set_autoload(struct bpf_program *prog, bool autoload)
  bpf_program__set_autoload: { parameters: ["pointer", "bool"], result: "i32" },

  // const char *bpf_map__name(const struct bpf_map *map)
  bpf_map__name: { parameters: ["pointer"], result: "pointer" },
  // int bpf_map__fd(const struct bpf_map *map)
  bpf_map__fd: { parameters: ["pointer"], result: "i32" },
  // int bpf_map__set_autocreate(struct bpf_map *map, bool autocreate)
  bpf_map__set_autocreate: { parameters: ["pointer", "bool"], result: "i32" },
  // int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries)
  bpf_map__set_max_entries: { parameters: ["pointer", "u32"], result: "i32" },
  // int bpf_map__set_pin_path(struct bpf_map *map, const char *path)
  bpf_map__set_pin_path: { parameters: ["pointer", "buffer"], result: "i32" },
  // int bpf_map__reuse_fd(struct bpf_map *map, int fd)
  bpf_map__reuse_fd: { parameters: ["pointer", "i32"], result: "i32" },
  // const void *bpf_map__initial_value(struct bpf_map *map, size_t *psize)
  bpf_map__initial_value: { parameters: ["pointer", "buffer"], result: "pointer" },
  // int bpf_map__set_initial_value(struct bpf_map *map, const void *data, size_t size)
  bpf_map__set_initial_value: { parameters: ["pointer", "buffer", "usize"], result: "i32" },

  // int bpf_map_create(enum bpf_map_type map_type, const char *map_name, __u32 key_size,
  //                    __u32 value_size, __u32 max_entries, const struct bpf_map_create_opts *opts)
  bpf_map_create: {
    parameters: ["i32", "buffer", "u32", "u32", "u32", "buffer"],
    result: "i32",
  },
  // int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
  bpf_map_update_elem: { parameters: ["i32", "buffer", "buffer", "u64"], result: "i32" },
  // int bpf_map_lookup_elem(int fd, const void *key, void *value)
  bpf_map_lookup_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int bpf_map_delete_elem(int fd, const void *key)
  bpf_map_delete_elem: { parameters: ["i32", "buffer"], result: "i32" },
  // int bpf_map_get_next_key(int fd, const void *key, void *next_key)
  bpf_map_get_next_key: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values,
  //                          __u32 *count, const struct bpf_map_batch_opts *opts)
  bpf_map_lookup_batch: {
    parameters: ["i32", "buffer", "buffer", "buffer", "buffer", "buffer", "pointer"],
    result: "i32",
  },

  // int bpf_obj_pin(int fd, const char *pathname)
  bpf_obj_pin: { parameters: ["i32", "buffer"], result: "i32" },
  // int bpf_obj_get(const char *pathname)
  bpf_obj_get: { parameters: ["buffer"], result: "i32" },
  // int bpf_obj_get_info_by_fd(int bpf_fd, void *info, __u32 *info_len)
  bpf_obj_get_info_by_fd: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int bpf_prog_get_fd_by_id(__u32 id)
  bpf_prog_get_fd_by_id: { parameters: ["u32"], result: "i32" },

  // int bpf_map_get_next_id(__u32 start_id, __u32 *next_id)
  bpf_map_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },
  // int bpf_prog_get_next_id(__u32 start_id, __u32 *next_id)
  bpf_prog_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },
  // int bpf_link_get_next_id(__u32 start_id, __u32 *next_id): from Linux 5.8
  bpf_link_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },

  // int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type attach_type,
  //                     const struct bpf_link_create_opts *opts)
  bpf_link_create: { parameters: ["i32", "i32", "i32", "pointer"], result: "i32" },
  // int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts)
  bpf_link_update: { parameters: ["i32", "i32", "pointer"], result: "i32" },
  // int bpf_link_detach(int link_fd)
  bpf_link_detach: { parameters: ["i32"], result: "i32" },
  // int bpf_raw_tracepoint_open(const char *name, int prog_fd)
  bpf_raw_tracepoint_open: { parameters: ["buffer", "i32"], result: "i32" },
  // int bpf_prog_attach(int prog_fd, int attachable_fd, enum bpf_attach_type type, unsigned int flags)
  bpf_prog_attach: { parameters: ["i32", "i32", "i32", "u32"], result: "i32" },
  // int bpf_prog_detach2(int prog_fd, int attachable_fd, enum bpf_attach_type type)
  bpf_prog_detach2: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int bpf_prog_query(int target_fd, enum bpf_attach_type type, __u32 query_flags,
  //                    __u32 *attach_flags, __u32 *prog_ids, __u32 *prog_cnt)
  bpf_prog_query: {
    parameters: ["i32", "i32", "u32", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  // int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts)
  bpf_prog_test_run_opts: { parameters: ["i32", "buffer"], result: "i32" },

  // struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn sample_cb, void *ctx,
  //                                      const struct ring_buffer_opts *opts)
  ring_buffer__new: { parameters: ["i32", "function", "pointer", "pointer"], result: "pointer" },
  // int ring_buffer__consume(struct ring_buffer *rb)
  ring_buffer__consume: { parameters: ["pointer"], result: "i32" },
  // void ring_buffer__free(struct ring_buffer *rb)
  ring_buffer__free: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

export const LIBC_SYMBOLS = {
  // int open(const char *pathname, int flags)
  open: { parameters: ["buffer", "i32"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count)
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // int access(const char *pathname, int mode)
  access: { parameters: ["buffer", "i32"], result: "i32" },
  // int mkdir(const char *pathname, mode_t mode)
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  // int rmdir(const char *pathname)
  rmdir: { parameters: ["buffer"], result: "i32" },
  // int unlink(const char *pathname)
  unlink: { parameters: ["buffer"], result: "i32" },
  // int rename(const char *oldpath, const char *newpath)
  rename: { parameters: ["buffer", "buffer"], result: "i32" },
  // int chown(const char *pathname, uid_t owner, gid_t group)
  chown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  // int chmod(const char *pathname, mode_t mode)
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  // int flock(int fd, int operation)
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int statfs(const char *path, struct statfs *buf)
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  // DIR *opendir(const char *name)
  opendir: { parameters: ["buffer"], result: "pointer" },
  // struct dirent *readdir(DIR *dirp)
  readdir: { parameters: ["pointer"], result: "pointer" },
  // int closedir(DIR *dirp)
  closedir: { parameters: ["pointer"], result: "i32" },
  // int fcntl(int fd, int cmd, int arg)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int name_to_handle_at(int dirfd, const char *pathname, struct file_handle *handle,
  //                       int *mount_id, int flags)
  name_to_handle_at: {
    parameters: ["i32", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  // int *__errno_location(void)
  __errno_location: { parameters: [], result: "pointer" },
  // int vsnprintf(char *str, size_t size, const char *format, va_list ap): the va_list that a
  // callback was handed is a pointer on x86_64 and, by reference, on arm64
  vsnprintf: { parameters: ["buffer", "usize", "pointer", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
