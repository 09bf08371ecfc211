/*
 * A loadable module for OpenIPMI's ipmi_sim, which by itself knows no DCMI and has its chassis switched off.
 * It answers the DCMI command "Get Power Reading" with the watts that stand as text in a file, whose path is
 * the module's option, and says that the chassis is on.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/serv.h>

enum {
    DCMI_GROUP = 0xdc,
    GET_POWER_READING = 0x02,
    COMPLETED = 0x00,
    INVALID_COMMAND = 0xc1,
    MEASUREMENT_ACTIVE = 0x40,
    PERIOD_MILLISECONDS = 1000,
};

static char *watts_file;

static unsigned int read_watts(void)
{
    unsigned int watts = 0;
    FILE *file = fopen(watts_file, "r");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%u", &watts) != 1)
        watts = 0;
    fclose(file);
    return watts;
}

static unsigned char *put_u16(unsigned char *at, uint16_t value)
{
    *at++ = value & 0xff;
    *at++ = value >> 8;
    return at;
}

static unsigned char *put_u32(unsigned char *at, uint32_t value)
{
    return put_u16(put_u16(at, value & 0xffff), value >> 16);
}

static void on_dcmi(lmc_data_t *mc, msg_t *request, unsigned char *answer, unsigned int *length, void *data)
{
    unsigned char *at = answer;
    unsigned int watts;

    (void) mc;
    (void) data;
    if (request->cmd != GET_POWER_READING) {
        answer[0] = INVALID_COMMAND;
        *length = 1;
        return;
    }
    watts = read_watts();
    *at++ = COMPLETED;
    *at++ = DCMI_GROUP;
    at = put_u16(at, watts);  /* now */
    at = put_u16(at, watts);  /* minimum, maximum and average of the period: the same */
    at = put_u16(at, watts);
    at = put_u16(at, watts);
    at = put_u32(at, (uint32_t) time(NULL));
    at = put_u32(at, PERIOD_MILLISECONDS);
    *at++ = MEASUREMENT_ACTIVE;
    *length = at - answer;
}

static int get_chassis(lmc_data_t *mc, int what, unsigned char *value, void *data)
{
    (void) mc;
    (void) data;
    *value = what == CHASSIS_CONTROL_POWER;
    return 0;
}

static int set_chassis(lmc_data_t *mc, int what, unsigned char *value, void *data)
{
    (void) mc;
    (void) what;
    (void) value;
    (void) data;
    return 0;
}

/* The names that ipmi_sim looks for: once before and once after it has read its configuration. */
int ipmi_sim_module_init(sys_data_t *sys, const char *option)
{
    (void) sys;
    if (option == NULL || (watts_file = strdup(option)) == NULL)
        return 1;
    ipmi_emu_register_group_extension_handler(DCMI_GROUP, on_dcmi, NULL);
    return 0;
}

int ipmi_sim_module_post_init(sys_data_t *sys)
{
    if (sys->mc != NULL)
        ipmi_mc_set_chassis_control_func(sys->mc, set_chassis, get_chassis, NULL);
    return 0;
}
